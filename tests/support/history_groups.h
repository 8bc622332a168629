#pragma once
// Consumer groups of a history: what was granted, settled and given up, and in which order: R6, R7.

#include <string>
#include <unordered_map>
#include <vector>

#include "tests/support/history_transactions.h"

namespace tally::test {

/// One group's knowledge of one offset. Applied indexes of 0 are not known, and then nothing follows from them.
struct TestDelivery {
  EventNumber granted = 0;         ///< first seen
  AppliedIndex granted_index = 0;  ///< the least one
  AppliedIndex latest_index = 0;   ///< the greatest one, with its attempt
  std::uint32_t latest_attempt = 0;
  EventNumber latest = 0;

  EventNumber settled = 0;  ///< ack, dead letter, or given up by the broker
  AppliedIndex settled_index = 0;
  std::uint32_t settled_attempt = UINT32_MAX;
  EventNumber nacked = 0;  ///< the latest
  AppliedIndex nacked_index = 0;
  std::uint32_t nacked_attempt = 0;

  EventNumber settle_invoked = 0;   ///< the first ack or dead letter
  std::uint32_t settles_alive = 0;  ///< acks and dead letters not refused
  bool order_reported = false;
};

struct TestSubscription {
  NameId group = 0;
  NameId topic = 0;
  EventNumber since = 0;
  std::unordered_map<QueueIndex, std::unordered_map<std::uint64_t, TestDelivery>> queues{};

  TestDelivery* find(QueueIndex queue, std::uint64_t offset);
  const TestDelivery* find(QueueIndex queue, std::uint64_t offset) const;
};
using SubscriptionIndex = std::uint32_t;

struct SettleAsked {
  EventNumber event = 0;
  SubscriptionIndex subscription = 0;
  QueueIndex queue = 0;
  std::uint64_t offset = 0;
  std::uint32_t attempt = 0;
  SettleAction action{};
};

class Groups {
 public:
  Groups(Findings& findings, Names& names, Messages& messages, const Transactions& transactions,
         const CheckerLimits& limits)
      : findings_(findings),
        names_(names),
        messages_(messages),
        transactions_(transactions),
        limits_(limits) {}

  void subscribed(EventNumber event, const std::string& group, const std::string& topic);
  /// Its message is what stands at that place.
  void delivered(EventNumber event, MessageIndex message, const Delivered& delivered);
  SettleAsked settle_invoked(EventNumber event, const SettleInvoked& settle);
  void settle_ok(EventNumber event, const SettleAsked& asked, AppliedIndex applied);
  void settle_failed(EventNumber event, const SettleAsked& asked);
  void dead_lettered(EventNumber event, const DeadLettered& dead);
  void lost_count(EventNumber event, const LostCount& count);
  void finish();

  std::vector<TestSubscription>& all() { return all_; }
  const std::string& text(NameId group) const { return names_.text(group); }

 private:
  SubscriptionIndex index(EventNumber event, const std::string& group, const std::string& topic);
  bool judge_grant(EventNumber event, const TestSubscription& subscription, QueueIndex queue,
                   const TestDelivery& delivery, const Delivered& grant);
  void order_grant(EventNumber event, TestSubscription& subscription, QueueIndex queue,
                   NameId message_group, const Delivered& grant, bool first);
  /// Judges the one before and the one after an offset whose settling became known.
  void order_settled(EventNumber event, TestSubscription& subscription, QueueIndex queue,
                     std::uint64_t offset);
  bool may_precede(TestSubscription& subscription, QueueIndex queue, std::uint64_t before,
                   const TestDelivery& after);
  void report_order(EventNumber event, TestSubscription& subscription, QueueIndex queue,
                    std::uint64_t before, std::uint64_t after);
  void order_all(TestSubscription& subscription, QueueIndex queue,
                 const std::vector<std::uint64_t>& offsets);
  void order_of_publication(QueueIndex queue, const std::vector<std::uint64_t>& offsets);

  Findings& findings_;
  Names& names_;
  Messages& messages_;
  const Transactions& transactions_;
  CheckerLimits limits_;
  std::vector<TestSubscription> all_{};
  std::unordered_map<Pair, SubscriptionIndex, PairHash> ids_{};  ///< by group and topic
};

}  // namespace tally::test
