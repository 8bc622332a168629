#pragma once
// Records: the commands that stand in the log, and the header each of them has.
//
// Record header, 32 bytes, little-endian (byte tables of all formats in store/README.md):
//    0  u8   type
//    1  u8   flags
//    2  u16  extension length
//    4  u32  block length (0: no message)
//    8  u64  own LSN (of this header)
//   16  u32  topic uid (0: none)
//   20  u32  check: hash32 of this header with 0 here; 0: not checked, as earlier versions wrote it
//   24  u64  block checksum (the trailer of the message block; 0 without one)
//   32  extension, then block

#include <cstdint>
#include <string_view>
#include <tally/ids.hpp>
#include <tally/result.hpp>

namespace tally::store {

enum class RecordType : std::uint8_t {
  kMark = 1,
  kConfig = 2,
  kTopicChange = 3,
  kGroupChange = 4,
  kProducerGroupChange = 5,
  kAppend = 8,
  kHalf = 9,
  kEnd = 10,
  kCheckDelivered = 11,
  kPark = 12,
  kResume = 13,
  kCheckAnswered = 14,
  kSettle = 16,
  kLeaseExpired = 17,
  // Named by the design, written by later versions: kRelease = 18, kRecall = 19, kRelocate = 20.
  kRetain = 21,
  kClock = 22,
};
std::string_view name(RecordType type);
/// Whether this version knows the type.
bool is_known(RecordType type);
/// Whether records of this type carry a message block.
constexpr bool has_block(RecordType type) {
  return type == RecordType::kAppend || type == RecordType::kHalf;
}

inline constexpr std::size_t kRecordHeaderBytes = 32;

struct RecordHeader {
  RecordType type{};
  std::uint8_t flags = 0;
  std::uint16_t extension_bytes = 0;
  std::uint32_t block_bytes = 0;
  Lsn lsn{};
  TopicUid topic{};
  std::uint64_t block_checksum = 0;

  std::uint64_t record_bytes() const { return kRecordHeaderBytes + extension_bytes + block_bytes; }
  void store(char* to) const;
  static RecordHeader load(const char* from);
  /// Whether these 32 bytes were written together: a sector's end may lie between them, and what
  /// stands behind it may be another record's.
  static bool is_whole(const char* from);
};

/// A record as apply sees it. The block is empty during replay: apply never reads it.
struct RecordView {
  RecordHeader header{};
  std::string_view extension{};
};

}  // namespace tally::store
