#pragma once
// Entries: one group-commit batch each. Used by one thread at a time: the core, then the log thread.
//
//    0  local preamble, 16 bytes: u64 durable LSN known when it was written;
//       u64 XXH3-64 over {segment epoch u64, entry LSN u64, durable LSN u64, entry checksum u64}
//   16  entry header, 64 bytes:
//       0 u32 magic "TENT" · 4 u16 rules version · 6 u16 flags = 0 · 8 u64 index · 16 u64 term
//       24 u64 LSN (of the preamble) · 32 i64 leader time ms
//       40 u32 entry bytes (preamble to padding) · 44 u32 record count
//       48 u32 bytes of all record headers and extensions · 52 u32 padding bytes
//       56 u64 entry checksum: XXH3-64 over header bytes 0-55, then all record headers and
//       extensions in their order
//   80  records: header, extension, block; then zero padding, so that the end LSN is a multiple
//       of 8 (of 4 KiB when the entry is longer than 16 KiB)

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tally/ids.hpp>
#include <vector>

#include "store/record.h"

namespace tally::store {

inline constexpr std::size_t kPreambleBytes = 16;
inline constexpr std::size_t kEntryHeaderBytes = 64;
inline constexpr std::size_t kEntryHeadBytes = kPreambleBytes + kEntryHeaderBytes;
inline constexpr std::uint16_t kRulesVersion = 1;
inline constexpr std::uint32_t kEntryMagic = 0x544e4554;  // "TENT"
inline constexpr std::size_t kEntryChecksumOffset = 56;   ///< in the header; it covers 0 to 55
inline constexpr std::uint64_t kEntryAlignment = 8;
inline constexpr std::uint64_t kPageBytes = 4096;

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
  void store(char* to) const;  ///< 64 bytes
  /// Nothing when magic or flags are not an entry's. Lengths and checksum are the caller's to
  /// check.
  static std::optional<EntryHeader> load(const char* from);
};

/// What stands before each entry, of local meaning.
struct Preamble {
  Lsn durable{};
  std::uint64_t check = 0;
  static Preamble make(std::uint64_t segment_epoch, Lsn entry, Lsn durable,
                       std::uint64_t entry_checksum);
  void store(char* to) const;  ///< 16 bytes
  static Preamble load(const char* from);
  bool operator==(const Preamble&) const = default;
};

/// What apply is given, live and in replay.
struct EntryView {
  EntryHeader header{};
  std::vector<RecordView> records{};
};

/// Keeps received bytes alive until they are durable.
using Keepalive = std::shared_ptr<const void>;

/// An entry under construction by the core, then sealed, then written by the log thread. Blocks are
/// not copied: the entry refers to them and holds their keepalives. Objects are reused (clear()),
/// so that the hot path does not allocate.
class Entry {
 public:
  /// Begins at this position; clears what was there.
  void begin(EntryIndex index, Term term, Lsn lsn);
  /// Forgets records and keepalives, keeps its memory.
  void clear();
  bool empty() const { return record_count_ == 0; }
  std::uint64_t bytes() const;  ///< so far, without padding

  /// Adds a record and returns its own LSN. `block` must live as long as the keepalive.
  Lsn add(RecordType type, std::uint8_t flags, TopicUid topic, std::string_view extension,
          std::string_view block = {}, std::uint64_t block_checksum = 0);
  void keep(
      Keepalive keepalive);  ///< once per received buffer; consecutive equal ones are stored once

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
  std::string_view heads() const { return std::string_view(heads_).substr(kEntryChecksumOffset); }
  const std::vector<Piece>& pieces() const { return pieces_; }

 private:
  EntryHeader header_{};
  std::uint32_t record_count_ = 0;
  std::uint64_t block_bytes_ = 0;
  /// Room for the covered part of the entry header, then record headers and extensions: what the
  /// checksum covers, in one piece.
  std::string heads_{};
  std::vector<Piece> pieces_{};
  std::vector<Keepalive> keepalives_{};
  EntryView view_{};
};

}  // namespace tally::store
