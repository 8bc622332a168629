#pragma once
// A broker with a retention of a minute, and what tests of retention do with it.

#include "store/record_extensions.h"
#include "tests/core/test_broker.h"

namespace tally::broker {

inline constexpr std::int64_t kRetentionMs = 60'000;
inline constexpr std::int64_t kDayMs = 24 * 3'600'000;

inline CoreOptions short_retention() {
  return {.first_check_ms = 20 * kDayMs,
          .transaction_lifetime_ms = 10'000,
          .retention_ms = kRetentionMs};
}

/// Topics "t", which the test is about, and "other", whose messages keep the log moving.
struct Scene {
  explicit Scene(const CoreOptions& options = short_retention()) : broker(options) {
    broker.make_topic("t");
    broker.make_topic("other");
    connect();
  }
  void connect() { session = broker.connect("c"); }
  void restart(TestBroker::Start start) {
    broker.restart(start);
    connect();
  }
  void send(int count, const std::string& topic = "t") {
    for (int i = 0; i < count; ++i) broker.send(session, topic);
    broker.run();
  }
  void busy(std::int64_t ms) { broker.pass(ms, "other"); }
  QueueInfo queue(const std::string& topic = "t") {
    return broker.ask<ListTopicsResponse>(session, ListTopicsRequest{.name = topic})
        .value()
        .topics.at(0)
        .queues.at(0);
  }
  GroupQueueInfo group(const std::string& name = "g") {
    return broker.ask<ListGroupsResponse>(session, ListGroupsRequest{.name = name})
        .value()
        .groups.at(0)
        .queues.at(0);
  }
  std::vector<DeliveryHeader> receive(std::uint32_t max = 1'000, std::int64_t lease_ms = 0) {
    return broker.receive(session, "t", "g", max, lease_ms);
  }
  ErrorCode settle(const DeliveryHeader& d, SettleAction action, std::int64_t delay_ms = -1) {
    return broker.settle(session, "t", "g", d, action, delay_ms).value().results.at(0);
  }
  BrokerCore::Counters counters() { return broker.core().counters(); }

  TestBroker broker;
  SessionId session{};
};

inline ErrorCode code(const auto& result) { return result ? ErrorCode::kOk : result.error().code; }

}  // namespace tally::broker
