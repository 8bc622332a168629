#pragma once
// The bytes of a base file: header, blocks of rows, trailer. Tables in store/README.md. Pure
// functions over bytes.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tally/result.hpp>

#include "store/base.h"

namespace tally::store {

inline constexpr std::string_view kBaseSuffix = ".base";
inline constexpr std::string_view kNextBaseName = "next.base";
inline constexpr std::uint64_t kBaseHeaderBytes = 4096;
inline constexpr std::size_t kBaseBlockHeadBytes = 32;
inline constexpr std::size_t kBaseTrailerBytes = 48;
inline constexpr std::size_t kBaseBlockRowsBytes = 64u << 10;  ///< a block ends at this size
inline constexpr std::size_t kBaseRowHeadBytes = 6;

std::string encode_base_header(ShardId shard, const ReplayFrom& position);
/// Errors: DATA_FORMAT, DATA_DAMAGED; `path` stands in their message.
Result<BaseInfo> decode_base_header(std::string_view bytes, const std::string& path);

struct BaseTrailer {
  std::uint64_t blocks = 0;
  std::uint64_t rows = 0;
  Lsn oldest_needed{};
  std::uint64_t file_bytes = 0;
};
std::string encode(const BaseTrailer& trailer, Lsn base);
Result<BaseTrailer> decode_base_trailer(std::string_view bytes, Lsn base, const std::string& path);

/// A block in memory: {LSN of the base, block head without checksum, rows} in one piece, as the
/// checksum covers them.
class BaseBlock {
 public:
  explicit BaseBlock(Lsn base);

  void add(std::string_view key, std::string_view value);
  std::size_t rows_bytes() const { return bytes_.size() - kRowsOffset; }
  std::uint32_t rows() const { return rows_; }
  /// The head as it stands in the file. Valid until the next call of a member.
  std::string_view seal(std::uint64_t number);
  std::string_view row_bytes() const { return std::string_view(bytes_).substr(kRowsOffset); }
  void clear();

  /// Takes over a head; true when it is that of block `number`. Then row_buffer() is to be filled.
  bool load_head(std::string_view head, std::uint64_t number);
  char* row_buffer() { return bytes_.data() + kRowsOffset; }
  /// Whether the rows are those of the head.
  bool matches() const;

 private:
  static constexpr std::size_t kLsnBytes = sizeof(std::uint64_t);
  static constexpr std::size_t kChecksumOffset = 24;  ///< in the head
  static constexpr std::size_t kRowsOffset = kLsnBytes + kChecksumOffset;

  std::string bytes_{};
  std::string head_{};
  std::uint32_t rows_ = 0;
  std::uint64_t checksum_ = 0;
};

}  // namespace tally::store
