#include "broker/core/index_keys.h"

#include "broker/core/varint.h"

namespace tally::broker::keys {
namespace {

constexpr char kHexId = 1;
constexpr char kTextId = 2;
constexpr std::size_t kHexDigits = 32;

/// Of a lower-case hexadecimal digit; -1 for anything else.
int nibble(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

void put(std::string& out, std::uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(value >> shift & 0xFF));
  }
}

std::string begin(ShardId shard, Kind kind, std::size_t bytes_behind) {
  std::string key;
  key.reserve(kPrefixBytes + bytes_behind);
  put(key, shard.value, 4);
  key.push_back(static_cast<char>(kind));
  return key;
}

}  // namespace

std::string prefix(ShardId shard, Kind kind) { return begin(shard, kind, 0); }

std::string prefix_end(ShardId shard, Kind kind) {
  std::string key = begin(shard, kind, 0);
  ++key.back();
  return key;
}

std::string topic(ShardId shard, TopicUid topic) {
  std::string key = begin(shard, Kind::kTopic, 4);
  put(key, topic.value, 4);
  return key;
}

std::string queue(ShardId shard, TopicUid topic, QueueId queue) {
  std::string key = begin(shard, Kind::kQueue, 8);
  put(key, topic.value, 4);
  put(key, queue.value, 4);
  return key;
}

std::string block(ShardId shard, TopicUid topic, QueueId queue, std::uint64_t number) {
  std::string key = begin(shard, Kind::kBlock, 16);
  put(key, topic.value, 4);
  put(key, queue.value, 4);
  put(key, number, 8);
  return key;
}

std::string group(ShardId shard, GroupUid group) {
  std::string key = begin(shard, Kind::kGroup, 4);
  put(key, group.value, 4);
  return key;
}

std::string subscription(ShardId shard, GroupUid group, TopicUid topic) {
  std::string key = begin(shard, Kind::kSubscription, 8);
  put(key, group.value, 4);
  put(key, topic.value, 4);
  return key;
}

std::string progress(ShardId shard, GroupUid group, TopicUid topic, QueueId queue) {
  std::string key = begin(shard, Kind::kProgress, 12);
  put(key, group.value, 4);
  put(key, topic.value, 4);
  put(key, queue.value, 4);
  return key;
}

std::string producer_group(ShardId shard, std::string_view name) {
  return begin(shard, Kind::kProducerGroup, name.size()).append(name);
}

std::string producer(ShardId shard, std::uint64_t id) {
  std::string key = begin(shard, Kind::kProducer, 8);
  put(key, id, 8);
  return key;
}

std::string id_form(std::string_view id) {
  std::string form(1, kHexId);
  if (id.size() == kHexDigits) {
    for (std::size_t i = 0; i < kHexDigits; i += 2) {
      const int high = nibble(id[i]), low = nibble(id[i + 1]);
      if (high < 0 || low < 0) break;
      form.push_back(static_cast<char>(high << 4 | low));
    }
  }
  if (form.size() == 1 + kHexDigits / 2) return form;
  form.assign(1, kTextId);
  return form.append(id);
}

std::optional<std::string> id_of_form(std::string_view form) {
  if (form.size() < 2) return std::nullopt;
  const std::string_view id = form.substr(1);
  if (form.front() == kTextId) return std::string(id);
  if (form.front() != kHexId || id.size() != kHexDigits / 2) return std::nullopt;
  std::string text;
  for (const char byte : id) {
    for (const int shift : {4, 0}) {
      text.push_back("0123456789abcdef"[static_cast<std::uint8_t>(byte) >> shift & 0x0F]);
    }
  }
  return text;
}

std::string transaction(ShardId shard, Kind kind, std::string_view id) {
  return begin(shard, kind, 0).append(id_form(id));
}

std::string encode_forgotten(Lsn before) {
  std::string row;
  put_varint(row, before.value);
  return row;
}

std::optional<Lsn> decode_forgotten(const std::optional<std::string>& row) {
  if (!row) return Lsn(0);
  ByteReader in(*row);
  const Lsn before(get_varint(in));
  return in.done() ? std::optional(before) : std::nullopt;
}

}  // namespace tally::broker::keys
