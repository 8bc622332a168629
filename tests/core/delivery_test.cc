// Consumer groups: leases, settles, attempts, retries, and queues longer than memory.

#include <catch2/catch.hpp>
#include <set>

#include "tests/core/test_broker.h"

namespace tally::broker {
namespace {

struct Scene {
  explicit Scene(CoreOptions options = {}, std::uint32_t queues = 1)
      : broker(options), session(broker.connect("c")) {
    broker.make_topic("t", queues);
  }
  void send(int count) {
    for (int i = 0; i < count; ++i) broker.send(session, "t");
    broker.run();
  }
  std::vector<DeliveryHeader> receive(std::uint32_t max = 100, std::int64_t lease_ms = 0) {
    return broker.receive(session, "t", "g", max, lease_ms);
  }
  ErrorCode settle(const DeliveryHeader& d, SettleAction action, std::int64_t delay_ms = -1) {
    return broker.settle(session, "t", "g", d, action, delay_ms).value().results.at(0);
  }
  ErrorCode extend(const DeliveryHeader& d, std::int64_t lease_ms) {
    return broker
        .ask<ExtendLeaseResponse>(session,
                                  ExtendLeaseRequest{.topic = "t",
                                                     .group = "g",
                                                     .lease_ms = lease_ms,
                                                     .items = {{d.queue, d.offset, d.attempt}}})
        .value()
        .results.at(0);
  }
  GroupQueueInfo group() {
    return broker.ask<ListGroupsResponse>(session, ListGroupsRequest{.name = "g"})
        .value()
        .groups.at(0)
        .queues.at(0);
  }
  void restart(TestBroker::Start start) {
    broker.restart(start);
    session = broker.connect("c");
  }
  TestBroker broker;
  SessionId session;
};

}  // namespace

TEST_CASE("a group starts at the earliest message and gets each once") {
  Scene s;
  s.send(3);
  const auto deliveries = s.receive();
  REQUIRE(deliveries.size() == 3);
  for (std::uint64_t i = 0; i < 3; ++i) REQUIRE(deliveries[i].offset == Offset(i));
  REQUIRE(s.receive().empty());
  REQUIRE(s.broker.receive(s.session, "t", "another").size() == 3);
}

TEST_CASE("an acknowledged message is never granted again, also after a restart") {
  Scene s;
  s.send(4);
  const auto deliveries = s.receive();
  REQUIRE(s.settle(deliveries[0], SettleAction::kAck) == ErrorCode::kOk);
  REQUIRE(s.settle(deliveries[2], SettleAction::kAck) == ErrorCode::kOk);
  REQUIRE(s.settle(deliveries[2], SettleAction::kAck) == ErrorCode::kLeaseLost);
  if (GENERATE(false, true)) s.broker.checkpoint();
  s.restart(GENERATE(TestBroker::Start::kCheckpoint, TestBroker::Start::kRebuild));
  const auto again = s.receive();
  REQUIRE(again.size() == 2);
  REQUIRE(again[0].offset == Offset(1));
  REQUIRE(again[1].offset == Offset(3));
}

TEST_CASE("a receive waits for a message and is answered empty when its time is over") {
  Scene s;
  const RequestId first =
      s.broker.submit(s.session, ReceiveRequest{.topic = "t", .group = "g", .wait_ms = 500});
  s.broker.run();
  REQUIRE_FALSE(s.broker.granted(first));
  s.send(1);
  REQUIRE(s.broker.granted(first)->response.deliveries.size() == 1);
  const RequestId second =
      s.broker.submit(s.session, ReceiveRequest{.topic = "t", .group = "g", .wait_ms = 500});
  s.broker.advance(490);
  REQUIRE_FALSE(s.broker.granted(second));
  s.broker.advance(30);
  REQUIRE(s.broker.granted(second)->response.deliveries.empty());
}

TEST_CASE("a lease that is extended three times is not redelivered") {
  Scene s;
  s.send(1);
  const auto delivery = s.receive(1, 200).at(0);
  for (int i = 0; i < 3; ++i) {
    s.broker.advance(150);
    s.broker.run();
    REQUIRE(s.extend(delivery, 200) == ErrorCode::kOk);
    REQUIRE(s.receive().empty());
  }
  s.broker.advance(150);
  REQUIRE(s.settle(delivery, SettleAction::kAck) == ErrorCode::kOk);
  REQUIRE(s.broker.core().counters().expired_leases == 0);
}

TEST_CASE(
    "a lease that runs out raises the attempt durably, and the old attempt's ack is refused") {
  Scene s;
  s.send(1);
  const auto first = s.receive(1, 200).at(0);
  s.broker.advance(250);
  s.broker.run();
  REQUIRE(s.extend(first, 200) == ErrorCode::kLeaseLost);
  const auto second = s.receive(1, 10'000).at(0);
  REQUIRE(second.attempt == 2);
  REQUIRE(second.lsn == first.lsn);
  REQUIRE(s.settle(first, SettleAction::kAck) == ErrorCode::kLeaseLost);
  s.restart(GENERATE(TestBroker::Start::kCheckpoint, TestBroker::Start::kRebuild));
  REQUIRE(s.receive().at(0).attempt == 2);
}

TEST_CASE("an ack in flight when its lease runs out still counts and nothing is granted twice") {
  Scene s;
  s.send(1);
  const auto delivery = s.receive(1, 200).at(0);
  const RequestId ack = s.broker.submit(
      s.session,
      SettleRequest{.topic = "t",
                    .group = "g",
                    .items = {{delivery.queue, delivery.offset, 1, SettleAction::kAck}}});
  s.broker.take_entries();
  s.broker.advance(300);
  REQUIRE_FALSE(s.broker.core().has_entry());
  REQUIRE(s.broker.wait_for<SettleResponse>(ack).value().results.at(0) == ErrorCode::kOk);
  s.broker.advance(300);
  REQUIRE(s.receive().empty());
}

TEST_CASE("a nacked message comes again after its delay and the floor passes it") {
  Scene s({.retry_backoff_ms = 1'000});
  s.send(2);
  const auto deliveries = s.receive();
  REQUIRE(s.settle(deliveries[0], SettleAction::kNack, 400) == ErrorCode::kOk);
  REQUIRE(s.settle(deliveries[1], SettleAction::kAck) == ErrorCode::kOk);
  REQUIRE(s.group().floor == Offset(2));
  REQUIRE(s.group().retrying == 1);
  REQUIRE(s.group().unsettled == 1);
  s.broker.advance(390);
  REQUIRE(s.receive().empty());
  s.broker.advance(20);
  const auto again = s.receive().at(0);
  REQUIRE(again.attempt == 2);
  REQUIRE(s.settle(again, SettleAction::kNack) ==
          ErrorCode::kOk);  // the group's back-off: 2 s ± 20 %
  s.broker.advance(1'590);
  REQUIRE(s.receive().empty());
  s.broker.advance(820);
  REQUIRE(s.receive().at(0).attempt == 3);
}

TEST_CASE("a waiting receive is woken when a retry falls due") {
  Scene s;
  s.send(1);
  REQUIRE(s.settle(s.receive().at(0), SettleAction::kNack, 300) == ErrorCode::kOk);
  const RequestId waiting =
      s.broker.submit(s.session, ReceiveRequest{.topic = "t", .group = "g", .wait_ms = 5'000});
  s.broker.advance(290);
  REQUIRE_FALSE(s.broker.granted(waiting));
  s.broker.advance(20);
  REQUIRE(s.broker.granted(waiting)->response.deliveries.at(0).attempt == 2);
}

TEST_CASE("after its last attempt a message is dead-lettered durably") {
  Scene s({.attempts_max = 2});
  s.send(1);
  REQUIRE(s.settle(s.receive().at(0), SettleAction::kNack, 0) == ErrorCode::kOk);
  s.broker.advance(1);
  REQUIRE(s.settle(s.receive().at(0), SettleAction::kNack, 0) == ErrorCode::kOk);
  s.restart(TestBroker::Start::kRebuild);
  REQUIRE(s.receive().empty());
  REQUIRE(s.group().dead_lettered == 1);
  REQUIRE(s.group().unsettled == 0);
}

TEST_CASE("a closed session gives its leases back at once, at the same attempt") {
  Scene s;
  s.send(2);
  REQUIRE(s.receive().size() == 2);
  const SessionId other = s.broker.connect("other");
  const RequestId waiting = s.broker.submit(
      other, ReceiveRequest{.topic = "t", .group = "g", .messages_max = 10, .wait_ms = 1'000});
  REQUIRE_FALSE(s.broker.granted(waiting));
  s.broker.disconnect(s.session);
  s.broker.run();
  const auto grant = s.broker.granted(waiting);
  REQUIRE(grant->response.deliveries.size() == 2);
  REQUIRE(grant->response.deliveries[0].attempt == 1);
}

TEST_CASE("one answer keeps to its limits of messages and bytes, and a large message fits alone") {
  Scene s;
  s.send(10);
  REQUIRE(s.receive(3).size() == 3);
  const RequestId small = s.broker.submit(
      s.session, ReceiveRequest{.topic = "t", .group = "g", .messages_max = 100, .bytes_max = 250});
  s.broker.run();
  REQUIRE(s.broker.granted(small)->response.deliveries.size() == 2);
  const RequestId tiny = s.broker.submit(
      s.session, ReceiveRequest{.topic = "t", .group = "g", .messages_max = 100, .bytes_max = 1});
  s.broker.run();
  REQUIRE(s.broker.granted(tiny)->response.deliveries.size() == 1);
}

TEST_CASE("messages with a routing key share a queue, others take turns") {
  Scene s({}, 4);
  for (int i = 0; i < 8; ++i) s.broker.send(s.session, "t", 7);
  s.broker.run();
  const auto keyed = s.receive();
  REQUIRE(keyed.size() == 8);
  for (const auto& d : keyed) REQUIRE(d.queue == QueueId(3));
  for (int i = 0; i < 8; ++i) s.broker.send(s.session, "t");
  s.broker.run();
  std::multiset<std::uint32_t> queues;
  for (const auto& d : s.receive()) queues.insert(d.queue.value);
  for (std::uint32_t i = 0; i < 4; ++i) REQUIRE(queues.count(i) == 2);
}

TEST_CASE("settling what one does not know is a definite error") {
  Scene s;
  s.send(1);
  const DeliveryHeader delivery{.attempt = 1};
  REQUIRE(s.broker.settle(s.session, "nowhere", "g", delivery, SettleAction::kAck).error().code ==
          ErrorCode::kTopicNotFound);
  REQUIRE(s.broker.settle(s.session, "t", "nobody", delivery, SettleAction::kAck).error().code ==
          ErrorCode::kGroupNotFound);
  REQUIRE(s.receive().size() == 1);
  REQUIRE(s.settle({.queue = QueueId(9), .attempt = 1}, SettleAction::kAck) ==
          ErrorCode::kLeaseLost);
  REQUIRE(s.settle({.offset = Offset(5), .attempt = 1}, SettleAction::kAck) ==
          ErrorCode::kLeaseLost);
}

TEST_CASE("a queue of a hundred thousand messages is read through a bounded number of blocks") {
  Scene s;
  constexpr int kMessages = 100'000;
  for (int i = 0; i < kMessages; ++i) {
    s.broker.send(s.session, "t", 0, 40);
    if (i % 20'000 == 19'999) {
      s.broker.run();
      s.broker.checkpoint();
    }
  }
  s.restart(TestBroker::Start::kCheckpoint);
  std::uint64_t expected = 0;
  while (true) {
    const auto deliveries = s.receive(1'000);
    if (deliveries.empty()) break;
    std::vector<SettleItem> items;
    for (const auto& d : deliveries) {
      REQUIRE(d.offset.value == expected++);
      items.push_back({d.queue, d.offset, d.attempt, SettleAction::kAck});
    }
    REQUIRE(s.broker.ask<SettleResponse>(
        s.session, SettleRequest{.topic = "t", .group = "g", .items = items}));
  }
  REQUIRE(expected == kMessages);
  REQUIRE(s.group().floor == Offset(kMessages));
}

}  // namespace tally::broker
