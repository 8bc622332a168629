#include "store/record.h"

#include "protocol/base/bytes.h"

namespace tally::store {

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
  store_le(to + 20, std::uint32_t{0});
  store_le(to + 24, block_checksum);
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

}  // namespace tally::store
