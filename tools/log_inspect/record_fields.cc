#include "tools/log_inspect/record_fields.h"

#include "store/record_extensions.h"

namespace tally::tools {
namespace {

using nlohmann::ordered_json;
using store::RecordType;

ordered_json fields_of(const store::ConfigExtension& from) {
  return {{"first_check_ms", from.first_check_ms},
          {"check_backoff_max_ms", from.check_backoff_max_ms},
          {"check_budget", from.check_budget},
          {"transaction_lifetime_ms", from.transaction_lifetime_ms},
          {"attempts_max", from.attempts_max},
          {"retry_backoff_ms", from.retry_backoff_ms},
          {"retry_backoff_max_ms", from.retry_backoff_max_ms}};
}

ordered_json fields_of(const CheckSettings& from) {
  return {{"first_check_ms", from.first_check_ms},
          {"lifetime_ms", from.lifetime_ms},
          {"backoff_max_ms", from.backoff_max_ms},
          {"budget", from.budget},
          {"on_budget", static_cast<int>(from.on_budget)}};
}

ordered_json fields_of(const store::TopicChangeExtension& from) {
  ordered_json fields = {{"name", from.name}, {"queues", from.queues}};
  if (from.retention_ms != 0) fields["retention_ms"] = from.retention_ms;
  if (from.checks != CheckSettings{}) fields["checks"] = fields_of(from.checks);
  return fields;
}

ordered_json fields_of(const store::GroupChangeExtension& from) {
  return {{"name", from.name}, {"group", from.group.value}};
}

ordered_json fields_of(const store::AppendExtension& from) {
  ordered_json fields = {{"route_hash", from.route_hash}, {"tag_hash", from.tag_hash}};
  if (from.flags() != 0) {
    fields["producer"] = from.producer;
    fields["sequence"] = from.sequence;
    fields["content_digest"] = from.content_digest;
  }
  return fields;
}

ordered_json fields_of(const store::HalfExtension& from) {
  return {{"transaction", from.transaction},
          {"message", from.message},
          {"group", from.group},
          {"client", from.client},
          {"store", from.store.to_hex()},
          {"fresh", from.fresh},
          {"later", from.later},
          {"first_check_ms", from.first_check_ms},
          {"lifetime_ms", from.lifetime_ms},
          {"route_hash", from.route_hash},
          {"tag_hash", from.tag_hash},
          {"content_digest", from.content_digest}};
}

ordered_json fields_of(const store::EndExtension& from) {
  ordered_json fields = {{"transaction", from.transaction},
                         {"decision", name(from.decision)},
                         {"decider", name(from.decider)},
                         {"messages", from.messages},
                         {"group", from.group},
                         {"client", from.client},
                         {"reason", from.reason}};
  if (!from.handle.log.is_zero()) {
    fields["handle_lsn"] = from.handle.lsn.value;
    fields["handle_time_ms"] = from.handle.time_ms;
  }
  return fields;
}

ordered_json fields_of(const store::CheckDeliveredExtension& from) {
  return {{"transaction", from.transaction}, {"attempt", from.attempt}, {"client", from.client}};
}

ordered_json fields_of(const store::ParkExtension& from) {
  return {{"transaction", from.transaction}, {"reason", from.reason}};
}

ordered_json fields_of(const store::ResumeExtension& from) {
  return {{"transaction", from.transaction}, {"reason", from.reason}};
}

ordered_json fields_of(const store::SettleExtension& from) {
  ordered_json items = ordered_json::array();
  for (const store::SettleEntry& item : from.items) {
    items.push_back({{"action", item.action},
                     {"queue", item.queue},
                     {"offset", item.offset},
                     {"attempt", item.attempt},
                     {"delay_ms", item.delay_ms}});
  }
  return {{"group", from.group.value}, {"items", std::move(items)}};
}

ordered_json fields_of(const store::RetainExtension& from) {
  ordered_json floors = ordered_json::array();
  for (const store::RetainFloor& floor : from.floors) {
    floors.push_back({{"queue", floor.queue}, {"first", floor.first}});
  }
  return {{"horizon", from.horizon.value},
          {"horizon_ms", from.horizon_ms},
          {"floors", std::move(floors)}};
}

ordered_json fields_of(const store::ClockExtension& from) {
  return {{"behind_ms", from.behind_ms}};
}

ordered_json fields_of(const store::CheckAnsweredExtension& from) {
  return {{"transaction", from.transaction}, {"client", from.client}, {"reason", from.reason}};
}

ordered_json fields_of(const store::ProducerGroupChangeExtension& from) {
  ordered_json fields = fields_of(from.checks);
  fields["name"] = from.name;
  return fields;
}

/// Gives `take` the decoded extension as a Result; `none` when the type has none, `bad` when there is no such type.
template <typename Answer, typename Take>
Answer with_extension(const store::RecordView& record, Answer none, Answer bad, Take take) {
  switch (record.header.type) {
    case RecordType::kMark:
      return none;
    case RecordType::kConfig:
      return take(store::decode<store::ConfigExtension>(record.header, record.extension));
    case RecordType::kTopicChange:
      return take(store::decode<store::TopicChangeExtension>(record.header, record.extension));
    case RecordType::kGroupChange:
      return take(store::decode<store::GroupChangeExtension>(record.header, record.extension));
    case RecordType::kProducerGroupChange:
      return take(
          store::decode<store::ProducerGroupChangeExtension>(record.header, record.extension));
    case RecordType::kAppend:
      return take(store::decode<store::AppendExtension>(record.header, record.extension));
    case RecordType::kHalf:
      return take(store::decode<store::HalfExtension>(record.header, record.extension));
    case RecordType::kEnd:
      return take(store::decode<store::EndExtension>(record.header, record.extension));
    case RecordType::kCheckDelivered:
      return take(store::decode<store::CheckDeliveredExtension>(record.header, record.extension));
    case RecordType::kCheckAnswered:
      return take(store::decode<store::CheckAnsweredExtension>(record.header, record.extension));
    case RecordType::kPark:
      return take(store::decode<store::ParkExtension>(record.header, record.extension));
    case RecordType::kResume:
      return take(store::decode<store::ResumeExtension>(record.header, record.extension));
    case RecordType::kSettle:
    case RecordType::kLeaseExpired:
      return take(store::decode<store::SettleExtension>(record.header, record.extension));
    case RecordType::kRetain:
      return take(store::decode<store::RetainExtension>(record.header, record.extension));
    case RecordType::kClock:
      return take(store::decode<store::ClockExtension>(record.header, record.extension));
  }
  return bad;
}

}  // namespace

bool decodes(const store::RecordView& record) {
  return with_extension(record, true, false,
                        [](const auto& decoded) { return static_cast<bool>(decoded); });
}

std::optional<ordered_json> record_fields(const store::RecordView& record) {
  using Fields = std::optional<ordered_json>;
  return with_extension(record, Fields(ordered_json::object()), Fields(), [](const auto& decoded) {
    return decoded ? Fields(fields_of(*decoded)) : Fields();
  });
}

Error does_not_decode(const store::Segment& segment, const store::RecordHeader& record) {
  return Error(ErrorCode::kDataDamaged,
               segment.path + ": position " + std::to_string(segment.position(record.lsn)) +
                   " (LSN " + std::to_string(record.lsn.value) + "): a record of type " +
                   std::to_string(static_cast<int>(record.type)) + " does not decode");
}

}  // namespace tally::tools
