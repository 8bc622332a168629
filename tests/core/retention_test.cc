// Retention: what is given up, what stays, and what stands in its way.

#include <catch2/catch.hpp>

#include "tests/core/test_broker.h"

namespace tally::broker {
namespace {

CoreOptions short_retention() {
  return {.transaction_lifetime_ms = 10'000, .retention_ms = 60'000};
}

/// Lets time pass with what belongs to it: checkpoints, bases, retention.
void pass(TestBroker& broker, std::int64_t ms) {
  for (; ms > 0; ms -= 1'000) {
    broker.advance(1'000);
    broker.run();
    if (broker.core().checkpoint_due()) broker.checkpoint();
    broker.run();
  }
}

QueueInfo queue(TestBroker& broker, SessionId session, const std::string& topic) {
  return broker.ask<ListTopicsResponse>(session, ListTopicsRequest{.name = topic})
      .value()
      .topics.at(0)
      .queues.at(0);
}

}  // namespace

TEST_CASE("what is older than retention is given up, and the log before it goes") {
  TestBroker broker(short_retention());
  broker.make_topic("t");
  SessionId session = broker.connect("p");
  for (int i = 0; i < 1'000; ++i) broker.send(session, "t");
  broker.run();
  pass(broker, 30'000);
  REQUIRE(broker.log_first() == Lsn(0));
  for (int i = 0; i < 40; ++i) {
    broker.send(session, "t");
    pass(broker, 1'000);
  }
  REQUIRE(broker.log_first() > Lsn(0));
  REQUIRE(queue(broker, session, "t").first >= Offset(1'000));
  const auto lived = broker.receive(session, "t", "g", 1'000);
  REQUIRE(lived.at(0).offset == queue(broker, session, "t").first);
  broker.restart(TestBroker::Start::kRebuild);
  session = broker.connect("p");
  REQUIRE(broker.receive(session, "t", "g", 1'000).size() == lived.size());
}

}  // namespace tally::broker
