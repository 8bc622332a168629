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

ordered_json fields_of(const store::TopicChangeExtension& from) {
  ordered_json fields = {{"name", from.name}, {"queues", from.queues}};
  if (from.retention_ms != 0) fields["retention_ms"] = from.retention_ms;
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
  return {{"horizon", from.horizon.value}, {"floors", std::move(floors)}};
}

template <typename Extension>
std::optional<ordered_json> read(const store::RecordView& record) {
  const auto decoded = store::decode<Extension>(record.header, record.extension);
  if (!decoded) return std::nullopt;
  return fields_of(*decoded);
}

}  // namespace

std::optional<ordered_json> record_fields(const store::RecordView& record) {
  switch (record.header.type) {
    case RecordType::kMark:
      return ordered_json::object();
    case RecordType::kConfig:
      return read<store::ConfigExtension>(record);
    case RecordType::kTopicChange:
      return read<store::TopicChangeExtension>(record);
    case RecordType::kGroupChange:
      return read<store::GroupChangeExtension>(record);
    case RecordType::kAppend:
      return read<store::AppendExtension>(record);
    case RecordType::kHalf:
      return read<store::HalfExtension>(record);
    case RecordType::kEnd:
      return read<store::EndExtension>(record);
    case RecordType::kCheckDelivered:
      return read<store::CheckDeliveredExtension>(record);
    case RecordType::kPark:
      return read<store::ParkExtension>(record);
    case RecordType::kResume:
      return read<store::ResumeExtension>(record);
    case RecordType::kSettle:
    case RecordType::kLeaseExpired:
      return read<store::SettleExtension>(record);
    case RecordType::kRetain:
      return read<store::RetainExtension>(record);
  }
  return std::nullopt;
}

std::string to_line(const ordered_json& fields) {
  std::string line;
  for (const auto& [name, value] : fields.items()) {
    if (!line.empty()) line += ' ';
    line +=
        name + "=" +
        (value.is_string() ? value.get<std::string>()
                           : value.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
  }
  return line;
}

}  // namespace tally::tools
