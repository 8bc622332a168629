#pragma once
// Topics, their queues, and where each published message stands.
//
// Owned by the core; one thread. Topics are never removed, so pointers to them stay valid. Per queue only the growing block
// is kept here; full ones are in the BlockCache.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/core/context.h"
#include "broker/core/producers.h"
#include "broker/core/queue_index.h"

namespace tally::broker {

struct Subscription;

/// Hashes std::string and std::string_view alike, for look-ups without a copy.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept {
    return std::hash<std::string_view>{}(text);
  }
};
template <typename Value>
using TextMap = std::unordered_map<std::string, Value, TextHash, std::equal_to<>>;

inline constexpr std::size_t kErasedBlocksMax = 1024;  ///< per checkpoint

struct Queue {
  std::uint64_t first = 0;  ///< earliest kept
  std::uint64_t next = 0;
  std::uint64_t erased = 0;        ///< blocks before this one are no longer in the index
  std::vector<MessageRef> tail{};  ///< the block that grows: offsets next - tail.size() to next
  bool dirty = false;              ///< since the last checkpoint
};

struct Topic {
  TopicUid uid{};
  std::string name{};
  std::int64_t retention_ms = 0;  ///< 0: the broker's
  CheckSettings checks{};         ///< of transactions that begin with a message for it
  Lsn retained{};                 ///< volatile: the newest base that its own retention looked at
  std::vector<Queue> queues{};
  std::uint64_t published = 0;               ///< in all queues; chooses the queue in turn
  std::vector<Subscription*> subscribers{};  ///< groups that read it
  bool touched = false;                      ///< got messages in the entry being applied
};

class Topics {
 public:
  Topics(Context& context, Producers& producers) : context_(context), producers_(producers) {}

  Result<void> restore(const store::IndexView& index);

  Topic* find(std::string_view name);
  Topic* find(TopicUid uid);
  std::size_t size() const { return by_name_.size(); }

  void admit_create(const Waiter& waiter, const CreateTopicRequest& request);
  bool apply_create(const Applying& applying);
  void admit_list(const Waiter& waiter, const ListTopicsRequest& request);

  void admit_send(const Waiter& waiter, const Command& command, const store::Keepalive& bytes);
  bool apply_append(const Applying& applying);

  struct Place {
    QueueId queue{};
    Offset offset{};
  };
  /// Appends a message to a queue: by `route_hash`, or in turn when that is 0.
  Place publish(Topic& topic, const MessageRef& message, std::uint32_t route_hash);
  /// Topics published to since the last call.
  std::vector<Topic*>& touched() { return touched_; }

  /// Null when its block must be loaded. Valid until the next call of anything.
  const MessageRef* locate(Topic& topic, std::uint32_t queue, std::uint64_t offset);
  BlockCache& blocks() { return blocks_; }

  /// From now on the queue begins at `first`, or where it did when that is later.
  void raise_first(Topic& topic, std::uint32_t queue, std::uint64_t first);
  /// Topics with a retention of their own.
  const std::vector<Topic*>& with_retention() const { return with_retention_; }
  /// Of all topics and the broker.
  std::int64_t shortest_retention_ms() const { return shortest_retention_ms_; }
  /// DATA_DAMAGED when a message that is still kept cannot be located.
  Result<void> complete() const;

  void collect();
  void checkpoint_done() { blocks_.checkpoint_done(); }
  /// Rows of the index are left to be erased.
  bool erasing() const { return !to_erase_.empty(); }

 private:
  Topic& make(TopicUid uid, std::string_view name, std::uint32_t queues, std::int64_t retention_ms,
              const CheckSettings& checks);
  static TopicInfo info(const Topic& topic);
  static std::uint64_t content_of(const Topic& topic, std::uint64_t digest);
  /// Answers a numbered message that is no new one.
  bool answer_repeated(const Waiter& waiter, std::uint64_t producer, std::uint64_t sequence,
                       std::uint64_t content);
  void mark_dirty(Topic& topic, std::uint32_t queue);
  void erase_blocks();

  Context& context_;
  Producers& producers_;
  BlockCache blocks_{};
  TextMap<Topic*> by_name_{};
  std::vector<std::unique_ptr<Topic>> by_uid_{};  ///< index uid
  std::uint32_t newest_uid_ = 0;                  ///< also of topics in flight
  std::uint32_t in_flight_ = 0;                   ///< topics asked for and not applied yet
  std::vector<Topic*> touched_{};
  std::vector<Topic*> new_topics_{};
  std::vector<Topic*> with_retention_{};
  std::int64_t shortest_retention_ms_ = context_.options.retention_ms;
  std::vector<std::pair<Topic*, std::uint32_t>> to_erase_{};  ///< queues, each once
  struct Gap {
    const Topic* topic;
    std::uint32_t queue;
    std::uint64_t end;
  };
  std::vector<Gap>
      gaps_{};  ///< restored without their newest block: nothing before `end` can be located
  std::vector<std::pair<Topic*, std::uint32_t>> dirty_{};  ///< queues
};

/// The row of a queue, as far as it is one value.
struct QueueRow {
  std::uint64_t next = 0;
  std::uint64_t first = 0;
  std::uint64_t erased = 0;
};
std::optional<QueueRow> decode_queue(std::string_view value);

/// Restores every row of one kind; `read` says whether it understood the row.
Result<void> restore_rows(
    const Context& context, const store::IndexView& index, char kind,
    const std::function<bool(std::string_view key, std::string_view value)>& read);

}  // namespace tally::broker
