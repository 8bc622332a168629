#include "tools/log_inspect/row_fields.h"

#include "broker/core/index_keys.h"
#include "broker/core/producer_groups.h"
#include "broker/core/producers.h"
#include "broker/core/progress.h"
#include "broker/core/queue_index.h"
#include "broker/core/topics.h"
#include "broker/core/transactions.h"
#include "broker/core/varint.h"
#include "tools/log_inspect/record_fields.h"

namespace tally::tools {
namespace {

using broker::keys::Kind;
using cli::Json;
using Fields = std::optional<Json>;

Kind kind_of(std::string_view key) {
  return key.size() < broker::keys::kPrefixBytes ? Kind()
                                                 : Kind(key[broker::keys::kPrefixBytes - 1]);
}

/// The key's integers under their names; false when it holds anything else.
bool read_key(std::string_view key, std::initializer_list<const char*> names, Json& to) {
  broker::keys::KeyReader reader(key);
  for (const char* name : names) to[name] = reader.u32();
  return reader.done();
}

bool read_block_key(std::string_view key, Json& to) {
  broker::keys::KeyReader reader(key);
  to["topic"] = reader.u32();
  to["queue"] = reader.u32();
  const std::uint64_t high = reader.u32();
  to["block"] = high << 32 | reader.u32();
  return reader.done();
}

bool read_transaction_key(std::string_view key, Json& to) {
  const auto id = broker::keys::id_of_form(broker::keys::KeyReader(key).rest());
  if (!id) return false;
  to["transaction"] = *id;
  return true;
}

Fields config_row(std::string_view value) {
  ByteReader in(value);
  Json fields;
  fields["format"] = in.get<std::uint8_t>();
  const bool logged = in.get<std::uint8_t>() != 0;
  fields["horizon"] = broker::get_varint(in);
  fields["horizon_ms"] = broker::get_varint(in);
  fields["clock_behind_ms"] = broker::get_signed_varint(in);
  if (!logged) return in.done() ? Fields(fields) : std::nullopt;
  if (!in.ok()) return std::nullopt;
  const store::RecordHeader header{.type = store::RecordType::kConfig};
  const auto config = record_fields({.header = header, .extension = in.get_bytes(in.left())});
  if (!config) return std::nullopt;
  fields.update(*config);
  return fields;
}

Json check_fields(const CheckSettings& checks) {
  return {{"first_check_ms", checks.first_check_ms},
          {"lifetime_ms", checks.lifetime_ms},
          {"backoff_max_ms", checks.backoff_max_ms},
          {"budget", checks.budget},
          {"on_budget", static_cast<int>(checks.on_budget)}};
}

Fields topic_row(std::string_view value) {
  ByteReader in(value);
  Json fields;
  fields["queues"] = broker::get_varint(in);
  fields["retention_ms"] = broker::get_varint(in);
  fields["checks"] = check_fields(broker::get_checks(in));
  fields["name"] = in.get_bytes(in.left());
  return in.ok() ? Fields(fields) : std::nullopt;
}

Fields queue_row(std::string_view value) {
  const auto queue = broker::decode_queue(value);
  if (!queue) return std::nullopt;
  return Json{{"next", queue->next}, {"first", queue->first}, {"erased_blocks", queue->erased}};
}

Fields block_row(std::string_view value) {
  const auto block = broker::decode_block(value);
  if (!block) return std::nullopt;
  Json messages = Json::array();
  for (const broker::MessageRef& message : block->messages) {
    messages.push_back({{"lsn", message.lsn.value},
                        {"bytes", message.record_bytes()},
                        {"tag_hash", message.tag_hash}});
  }
  return Json{{"start", block->start}, {"messages", std::move(messages)}};
}

Fields progress_row(std::string_view value) {
  const auto progress = broker::Progress::decode(value);
  if (!progress) return std::nullopt;
  Json retries = Json::array();
  for (const auto& [offset, retry] : progress->retries()) {
    retries.push_back({{"offset", offset}, {"attempt", retry.attempt}, {"due_ms", retry.due_ms}});
  }
  return Json{{"floor", progress->floor()},
              {"settled_above_floor", progress->settled_above_floor()},
              {"dead_lettered", progress->dead_lettered()},
              {"lost", progress->lost()},
              {"retries", std::move(retries)}};
}

Json history_fields(const broker::Transaction& transaction) {
  Json fields = Json::object();
  if (transaction.history == nullptr) return fields;
  const broker::History& history = *transaction.history;
  fields = {{"reason", history.reason},
            {"decided_by", history.decided_by},
            {"resumed_at_ms", history.resumed_at_ms},
            {"checks", Json::array()}};
  for (const CheckRecord& check : history.checks) {
    fields["checks"].push_back({{"delivered_at_ms", check.delivered_at_ms},
                                {"client", check.client},
                                {"answered_at_ms", check.answered_at_ms},
                                {"answer", name(check.answer)},
                                {"reason", check.reason}});
  }
  return fields;
}

Json transaction_fields(const broker::Transaction& transaction) {
  return {{"group", transaction.group()},           {"lsn", transaction.lsn.value},
          {"time_ms", transaction.time_ms},         {"first_check_ms", transaction.first_check_ms},
          {"lifetime_ms", transaction.lifetime_ms}, {"client", transaction.client()},
          {"checks", transaction.checks},           {"history", history_fields(transaction)}};
}

Fields open_row(std::string_view value) {
  broker::Origins origins;
  broker::Transaction transaction;
  if (!broker::decode_open({}, value, origins, transaction)) return std::nullopt;
  Json fields = {{"state", transaction.state == broker::TxState::kParked ? "parked" : "pending"}};
  fields.update(transaction_fields(transaction));
  fields["store"] = transaction.store().to_hex();
  Json halves = Json::array();
  for (const broker::Half& half : transaction.halves) {
    halves.push_back({{"message", half.number},
                      {"topic", half.topic.value},
                      {"lsn", half.message.lsn.value},
                      {"bytes", half.message.record_bytes()}});
  }
  fields["halves"] = std::move(halves);
  return fields;
}

Fields decided_row(std::string_view value) {
  broker::Origins origins;
  broker::Transaction transaction;
  if (!broker::decode_decided({}, value, origins, transaction)) return std::nullopt;
  const Winner winner = transaction.winner();
  Json fields = {{"state", name(winner.state)},
                 {"decided_by", name(winner.decided_by)},
                 {"decided_at_ms", winner.decided_at_ms},
                 {"decided_lsn", transaction.decided_lsn.value}};
  fields.update(transaction_fields(transaction));
  fields["messages"] = transaction.halves.size();
  return fields;
}

Fields producer_group_row(std::string_view value) {
  ByteReader in(value);
  Json fields = check_fields(broker::get_checks(in));
  return in.done() ? Fields(fields) : std::nullopt;
}

Fields producer_row(std::string_view value) {
  const auto messages = broker::decode_producer(value);
  if (!messages) return std::nullopt;
  Json sent = Json::array();
  for (const broker::NumberedMessage& message : *messages) {
    sent.push_back({{"sequence", message.sequence},
                    {"lsn", message.place.lsn.value},
                    {"queue", message.place.queue.value},
                    {"offset", message.place.offset.value}});
  }
  return Json{{"messages", std::move(sent)}};
}

bool read_producer_key(std::string_view key, Json& to) {
  broker::keys::KeyReader reader(key);
  to["producer"] = reader.u64();
  return reader.done();
}

Fields forgotten_row(std::string_view value) {
  const auto before = broker::keys::decode_forgotten(std::string(value));
  if (!before) return std::nullopt;
  return Json{{"before_lsn", before->value}};
}

struct Read {
  bool key_is_whole = false;
  Fields fields{};
};

Read read(Kind kind, std::string_view key, std::string_view value, Json& to) {
  switch (kind) {
    case Kind::kConfig:
      return {read_key(key, {}, to), config_row(value)};
    case Kind::kTopic:
      return {read_key(key, {"topic"}, to), topic_row(value)};
    case Kind::kQueue:
      return {read_key(key, {"topic", "queue"}, to), queue_row(value)};
    case Kind::kBlock:
      return {read_block_key(key, to), block_row(value)};
    case Kind::kGroup:
      return {read_key(key, {"group"}, to), Json{{"name", value}}};
    case Kind::kSubscription:
      return {read_key(key, {"group", "topic"}, to),
              value.empty() ? Fields(Json::object()) : std::nullopt};
    case Kind::kProgress:
      return {read_key(key, {"group", "topic", "queue"}, to), progress_row(value)};
    case Kind::kProducerGroup:
      to["group"] = broker::keys::KeyReader(key).rest();
      return {true, producer_group_row(value)};
    case Kind::kProducer:
      return {read_producer_key(key, to), producer_row(value)};
    case Kind::kOpen:
      return {read_transaction_key(key, to), open_row(value)};
    case Kind::kDecided:
      return {read_transaction_key(key, to), decided_row(value)};
    case Kind::kForgotten:
      return {read_key(key, {}, to), forgotten_row(value)};
  }
  return {};
}

}  // namespace

std::string_view row_kind(std::string_view key) {
  switch (kind_of(key)) {
    case Kind::kConfig:
      return "config";
    case Kind::kTopic:
      return "topic";
    case Kind::kQueue:
      return "queue";
    case Kind::kBlock:
      return "block";
    case Kind::kGroup:
      return "group";
    case Kind::kSubscription:
      return "subscription";
    case Kind::kProgress:
      return "progress";
    case Kind::kProducerGroup:
      return "producer group";
    case Kind::kProducer:
      return "producer";
    case Kind::kOpen:
      return "open";
    case Kind::kDecided:
      return "decided";
    case Kind::kForgotten:
      return "forgotten";
  }
  return "unknown";
}

std::optional<Row> row_fields(std::string_view key, std::string_view value) {
  Row row;
  Read done = read(kind_of(key), key, value, row.key);
  if (!done.key_is_whole || !done.fields) return std::nullopt;
  row.kind = row_kind(key);
  row.fields = *std::move(done.fields);
  return row;
}

}  // namespace tally::tools
