#pragma once
// Entries: one group-commit batch each.
//
//    0  local preamble, 16 bytes: u64 durable LSN known when it was written;
//       u64 XXH3-64 over {segment epoch u64, entry LSN u64, durable LSN u64, entry checksum u64}
//   16  entry header, 64 bytes:
//       0 u32 magic "TENT" · 4 u16 rules version · 6 u16 flags = 0 · 8 u64 index · 16 u64 term · 24 u64 LSN (of the preamble)
//       32 i64 leader time ms · 40 u32 entry bytes (preamble to padding) · 44 u32 record count · 48 u32 bytes of all record
//       headers and extensions · 52 u32 padding bytes · 56 u64 entry checksum: XXH3-64 over header bytes 0-55, then all record
//       headers and extensions in their order
//   80  records: header, extension, block; then zero padding (to 8 bytes; to 4 KiB when the entry is longer than 16 KiB)

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tally/ids.hpp>
#include <vector>

#include "store/record.h"

namespace tally::store {

inline constexpr std::size_t kPreambleBytes = 16;
inline constexpr std::size_t kEntryHeaderBytes = 64;
inline constexpr std::uint16_t kRulesVersion = 1;

struct EntryHeader {
  std::uint16_t rules_version = kRulesVersion;
  EntryIndex index{};
  Term term{};
  Lsn lsn{};
  std::int64_t time_ms = 0;
  std::uint32_t entry_bytes = 0;
  std::uint32_t record_count = 0;
  std::uint32_t heads_bytes = 0;
  std::uint32_t padding_bytes = 0;
  std::uint64_t checksum = 0;
  Lsn end() const { return Lsn(lsn.value + entry_bytes); }
};

/// What apply is given, live and in replay.
struct EntryView {
  EntryHeader header{};
  std::vector<RecordView> records{};
};

/// Keeps received bytes alive until they are durable.
using Keepalive = std::shared_ptr<const void>;

/// An entry under construction by the core, then sealed, then written by the log thread. Blocks are not copied: the entry
/// refers to them and holds their keepalives. Objects are reused (clear()), so that the hot path does not allocate.
class Entry {
 public:
  /// Begins at this position.
  void begin(EntryIndex index, Term term, Lsn lsn);
  bool empty() const { return record_count_ == 0; }
  std::uint64_t bytes() const;  ///< so far, without padding

  /// Adds a record and returns its own LSN. `block` must live as long as the keepalive.
  Lsn add(RecordType type, std::uint8_t flags, TopicUid topic, std::string_view extension, std::string_view block = {},
          std::uint64_t block_checksum = 0);
  void keep(Keepalive keepalive);  ///< once per received buffer; consecutive equal ones are stored once

  /// Computes padding and checksum. No add() afterwards.
  void seal(std::int64_t time_ms);

  const EntryHeader& header() const { return header_; }
  /// The sealed entry for apply: views into this object.
  const EntryView& view() const { return view_; }

  struct Piece {
    std::size_t heads_offset;  ///< header and extension within heads()
    std::size_t heads_bytes;
    std::string_view block;
  };
  std::string_view heads() const { return heads_; }
  const std::vector<Piece>& pieces() const { return pieces_; }

 private:
  EntryHeader header_{};
  std::uint32_t record_count_ = 0;
  std::uint64_t block_bytes_ = 0;
  std::string heads_{};  ///< record headers and extensions, back to back
  std::vector<Piece> pieces_{};
  std::vector<Keepalive> keepalives_{};
  EntryView view_{};
};

}  // namespace tally::store
