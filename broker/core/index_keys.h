#pragma once
// Keys of the index. Each begins with the shard (u32) and a letter; integers are big-endian, so that keys sort like numbers.
//
//   c                                   configuration and counters that apply needs
//   t  topic u32                        topic
//   n  topic u32, queue u32             next offset of a queue
//   q  topic u32, queue u32, block u64  256 offsets of a queue
//   g  group u32                        consumer group
//   s  group u32, topic u32             the group reads the topic
//   r  group u32, topic u32, queue u32  progress of the group
//   u  name                             producer group with settings of its own
//   v  producer u64                     its newest numbered messages
//   p  transaction id                   open transaction
//   d  transaction id                   decided transaction
//   f                                   LSN up to which decided transactions were removed; the server's own
//
// A transaction id of 32 lower-case hexadecimal digits, the form that SDKs make, stands as 1 and its 16 bytes; any other one
// as 2 and its text. So the former sort before the latter, and each like their ids.

#include <optional>
#include <string>
#include <string_view>
#include <tally/ids.hpp>

namespace tally::broker::keys {

enum class Kind : char {
  kConfig = 'c',
  kTopic = 't',
  kQueue = 'n',
  kBlock = 'q',
  kGroup = 'g',
  kSubscription = 's',
  kProgress = 'r',
  kProducerGroup = 'u',
  kProducer = 'v',
  kOpen = 'p',
  kDecided = 'd',
  kForgotten = 'f',
};

inline constexpr std::size_t kPrefixBytes = 5;

std::string prefix(ShardId shard, Kind kind);
/// The first key behind all keys of `kind`.
std::string prefix_end(ShardId shard, Kind kind);

std::string topic(ShardId shard, TopicUid topic);
std::string queue(ShardId shard, TopicUid topic, QueueId queue);
std::string block(ShardId shard, TopicUid topic, QueueId queue, std::uint64_t number);
std::string group(ShardId shard, GroupUid group);
std::string subscription(ShardId shard, GroupUid group, TopicUid topic);
std::string progress(ShardId shard, GroupUid group, TopicUid topic, QueueId queue);
std::string producer_group(ShardId shard, std::string_view name);
std::string producer(ShardId shard, std::uint64_t id);
std::string transaction(ShardId shard, Kind kind, std::string_view id);
/// The form of a transaction id within keys: ids sort by it.
std::string id_form(std::string_view id);
/// The id that an id_form() stands for; nothing when it is none.
std::optional<std::string> id_of_form(std::string_view form);

/// The row of kForgotten: decided transactions whose END stands before the LSN are not in the index. No row: 0.
std::string encode_forgotten(Lsn before);
/// Nothing when it does not decode.
std::optional<Lsn> decode_forgotten(const std::optional<std::string>& row);

/// Reads a key's integers behind shard and letter, in their order.
class KeyReader {
 public:
  explicit KeyReader(std::string_view key)
      : left_(key.substr(std::min(key.size(), kPrefixBytes))) {}
  std::uint32_t u32() { return static_cast<std::uint32_t>(big_endian(4)); }
  std::uint64_t u64() { return big_endian(8); }
  std::string_view rest() const { return left_; }
  /// True when all was read and nothing was missing.
  bool done() const { return ok_ && left_.empty(); }

 private:
  std::uint64_t big_endian(std::size_t bytes) {
    if (left_.size() < bytes) {
      ok_ = false;
      return 0;
    }
    std::uint64_t value = 0;
    for (char c : left_.substr(0, bytes)) value = value << 8 | static_cast<std::uint8_t>(c);
    left_.remove_prefix(bytes);
    return value;
  }
  std::string_view left_;
  bool ok_ = true;
};

}  // namespace tally::broker::keys
