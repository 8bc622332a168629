#pragma once
// Messages of a history and the places they were seen at: R1, R8, R9.

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/support/history_findings.h"

namespace tally::test {

using MessageIndex = std::uint32_t;
using QueueIndex = std::uint32_t;
using TransactionIndex = std::uint32_t;
inline constexpr std::uint32_t kNobody = UINT32_MAX;

struct TestMessage {
  Content content = 0;
  NameId topic = 0;
  NameId message_group = 0;
  std::uint64_t producer = 0;
  std::uint64_t sequence = 0;
  TransactionIndex transaction = kNobody;
  std::uint32_t number = 0;  ///< within the transaction

  EventNumber invoked = 0;  ///< first
  EventNumber acked = 0;    ///< first
  EventNumber acked_last = 0;
  EventNumber delivered = 0;  ///< first, to anybody
  std::uint32_t attempts = 0, failed = 0, acks = 0;

  std::uint32_t copies = 0;    ///< known places
  QueueIndex queue = kNobody;  ///< of the first known place
  std::uint64_t offset = 0;
  EventNumber placed = 0;
  bool reported = false;  ///< as phantom or duplicate

  bool may_exist() const { return attempts > failed; }
  bool once() const { return producer != 0 || transaction != kNobody; }
};

struct PlacedMessage {
  MessageIndex message = 0;
  std::uint64_t lsn = 0;
  EventNumber event = 0;
};
struct Trim {
  std::uint64_t floor = 0;
  std::int64_t published_before_ms = 0;
  EventNumber event = 0;
};
struct TestQueue {
  NameId topic = 0;
  std::uint32_t number = 0;
  std::unordered_map<std::uint64_t, PlacedMessage> places{};  ///< by offset
  std::uint64_t end = 0;                                      ///< one past the highest known offset
  std::vector<Trim> trims{};                                  ///< floors ascending
  /// Known offsets of each message group, ascending.
  std::unordered_map<NameId, std::vector<std::uint64_t>> ordered{};

  std::uint64_t floor() const { return trims.empty() ? 0 : trims.back().floor; }
  /// What took this offset away; nothing when it is retained.
  const Trim* trim_of(std::uint64_t offset) const;
};

class Messages {
 public:
  Messages(Findings& findings, Names& names) : findings_(findings), names_(names) {}

  /// Nothing when the history contradicts itself.
  std::optional<MessageIndex> send_invoked(EventNumber event, const SendInvoked& send);
  std::optional<MessageIndex> half_invoked(EventNumber event, const PrepareInvoked& half,
                                           TransactionIndex transaction);
  void acked(EventNumber event, MessageIndex message);
  void failed(EventNumber event, MessageIndex message);

  struct Place {
    NameId topic = 0;
    std::uint32_t queue = 0;
    std::uint64_t offset = 0;
    std::uint64_t lsn = 0;
  };
  /// A message was seen at a place. False when that breaks a rule.
  bool place(EventNumber event, MessageIndex message, const Place& place);
  /// The message that was sent with what was seen; nothing after R1.
  std::optional<MessageIndex> seen(EventNumber event, Content content, NameId topic,
                                   const std::string* message_group);
  void trimmed(EventNumber event, const Trimmed& trim);

  QueueIndex queue_index(NameId topic, std::uint32_t queue);
  TestQueue& queue(QueueIndex index) { return queues_[index]; }
  std::vector<TestQueue>& queues() { return queues_; }
  TestMessage& operator[](MessageIndex index) { return messages_[index]; }
  std::vector<TestMessage>& all() { return messages_; }
  /// "message 7 at orders/0/12"
  std::string text(MessageIndex message) const;
  std::string text(QueueIndex queue, std::uint64_t offset) const;

 private:
  std::optional<MessageIndex> invoked(EventNumber event, const TestMessage& message);
  bool only_one(EventNumber event, MessageIndex message);
  bool not_too_many(EventNumber event, MessageIndex message);
  void keep_order(EventNumber event, MessageIndex message, QueueIndex queue, std::uint64_t offset);

  Findings& findings_;
  Names& names_;
  std::vector<TestMessage> messages_{};
  std::unordered_map<Content, MessageIndex> by_content_{};
  std::unordered_map<Pair, MessageIndex, PairHash> by_sequence_{};  ///< stored ones
  std::unordered_map<Pair, MessageIndex, PairHash> by_number_{};    ///< stored halves
  std::vector<TestQueue> queues_{};
  std::unordered_map<Pair, QueueIndex, PairHash> queue_ids_{};       ///< by topic and number
  std::unordered_map<Pair, QueueIndex, PairHash> queue_of_order_{};  ///< by topic and message group
};

}  // namespace tally::test
