#include "store/record.h"

#include <cstring>

#include "protocol/base/bytes.h"
#include "protocol/base/checksum.h"

namespace tally::store {
namespace {

constexpr std::size_t kCheckOffset = 20;

}  // namespace

std::string_view name(RecordType type) {
  switch (type) {
    case RecordType::kMark:
      return "Mark";
    case RecordType::kConfig:
      return "Config";
    case RecordType::kTopicChange:
      return "TopicChange";
    case RecordType::kProducerGroupChange:
      return "ProducerGroupChange";
    case RecordType::kGroupChange:
      return "GroupChange";
    case RecordType::kAppend:
      return "Append";
    case RecordType::kHalf:
      return "Half";
    case RecordType::kEnd:
      return "End";
    case RecordType::kCheckDelivered:
      return "CheckDelivered";
    case RecordType::kCheckAnswered:
      return "CheckAnswered";
    case RecordType::kPark:
      return "Park";
    case RecordType::kResume:
      return "Resume";
    case RecordType::kSettle:
      return "Settle";
    case RecordType::kLeaseExpired:
      return "LeaseExpired";
    case RecordType::kRetain:
      return "Retain";
    case RecordType::kClock:
      return "Clock";
  }
  return "";
}

bool is_known(RecordType type) { return !name(type).empty(); }

void RecordHeader::store(char* to) const {
  store_le(to, static_cast<std::uint8_t>(type));
  store_le(to + 1, flags);
  store_le(to + 2, extension_bytes);
  store_le(to + 4, block_bytes);
  store_le(to + 8, lsn.value);
  store_le(to + 16, topic.value);
  store_le(to + kCheckOffset, std::uint32_t{0});
  store_le(to + 24, block_checksum);
  store_le(to + kCheckOffset, hash32(std::string_view(to, kRecordHeaderBytes)));
}

RecordHeader RecordHeader::load(const char* from) {
  RecordHeader header;
  header.type = RecordType(load_le<std::uint8_t>(from));
  header.flags = load_le<std::uint8_t>(from + 1);
  header.extension_bytes = load_le<std::uint16_t>(from + 2);
  header.block_bytes = load_le<std::uint32_t>(from + 4);
  header.lsn = Lsn(load_le<std::uint64_t>(from + 8));
  header.topic = TopicUid(load_le<std::uint32_t>(from + 16));
  header.block_checksum = load_le<std::uint64_t>(from + 24);
  return header;
}

bool RecordHeader::is_whole(const char* from) {
  const auto check = load_le<std::uint32_t>(from + kCheckOffset);
  if (check == 0) return true;
  char raw[kRecordHeaderBytes];
  std::memcpy(raw, from, sizeof raw);
  store_le(raw + kCheckOffset, std::uint32_t{0});
  return hash32(std::string_view(raw, sizeof raw)) == check;
}

}  // namespace tally::store
