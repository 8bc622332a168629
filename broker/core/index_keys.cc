#include "broker/core/index_keys.h"

namespace tally::broker::keys {
namespace {

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

std::string transaction(ShardId shard, Kind kind, std::string_view id) {
  std::string key = begin(shard, kind, id.size());
  key.append(id);
  return key;
}

}  // namespace tally::broker::keys
