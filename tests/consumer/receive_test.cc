// receive(), ack(), nack(), extend() against a broker in this process.

#include <catch2/catch.hpp>
#include <tally/consumer.hpp>

#include "tests/consumer/fake_broker.h"

namespace tally {
namespace {

using namespace std::chrono_literals;
using testing::FakeBroker;

Consumer connect(const FakeBroker& broker) {
  return Consumer::connect({.broker = broker.address(), .group = "points"}).value();
}

}  // namespace

TEST_CASE("receive gives what is there, and nothing after its wait") {
  FakeBroker broker;
  Consumer consumer = connect(broker);
  CHECK(consumer.receive({.topic = "orders"}).value().empty());
  for (int i = 0; i < 3; ++i) broker.add(std::to_string(i), "key");
  const auto two = consumer.receive({.topic = "orders", .max = 2, .wait = 20s}).value();
  REQUIRE(two.size() == 2);
  CHECK(two[0].message().body == "0");
  CHECK(two[0].message().key == "key");
  CHECK(two[0].message().topic == "orders");
  CHECK(two[1].offset() == Offset{1});
  CHECK(consumer.ack(two));
  CHECK(broker.counts().acked == 2);
}

TEST_CASE("a second settlement of a delivery is refused with LEASE_LOST") {
  FakeBroker broker;
  broker.add("one");
  Consumer consumer = connect(broker);
  const auto got = consumer.receive({.topic = "orders", .wait = 20s}).value();
  REQUIRE(got.size() == 1);
  CHECK(consumer.extend(got[0], 1s));
  CHECK(consumer.ack(got[0]));
  CHECK(consumer.ack(got[0]).error().code == ErrorCode::kLeaseLost);
  CHECK(consumer.extend(got[0]).error().code == ErrorCode::kLeaseLost);
}

TEST_CASE("a nacked delivery comes again, a dead-lettered one does not") {
  FakeBroker broker;
  broker.add("one");
  Consumer consumer = connect(broker);
  auto got = consumer.receive({.topic = "orders", .wait = 20s}).value();
  REQUIRE(got.size() == 1);
  CHECK(consumer.nack(got[0], -1ms).error().code == ErrorCode::kOutOfRange);
  CHECK(consumer.nack(got[0], 0ms));
  got = consumer.receive({.topic = "orders", .wait = 20s}).value();
  REQUIRE(got.size() == 1);
  CHECK(got[0].attempt() == 2);
  CHECK(consumer.dead_letter(got[0]));
  CHECK(consumer.receive({.topic = "orders"}).value().empty());
}

TEST_CASE("a receive that is cut off goes on waiting on the next connection") {
  FakeBroker broker;
  Consumer consumer = connect(broker);
  std::thread cutter([&] {
    broker.wait([](const auto& counts) { return counts.waiting == 1; });
    broker.cut();
    broker.wait([](const auto& counts) { return counts.connections == 2; });
    broker.add("late");
  });
  const auto got = consumer.receive({.topic = "orders", .wait = 20s});
  cutter.join();
  REQUIRE(got);
  CHECK(got->size() == 1);
  CHECK(broker.counts().connections == 2);
}

TEST_CASE("receive keeps a damaged message from its caller") {
  FakeBroker broker;
  broker.damage_next_block();
  broker.add("damaged once");
  broker.add("whole");
  Consumer consumer = connect(broker);
  const auto got = consumer.receive({.topic = "orders", .max = 2, .wait = 20s}).value();
  REQUIRE_FALSE(got.empty());
  CHECK(got.front().message().body == "whole");
  CHECK(broker.wait([](const auto& counts) { return counts.nacked == 1; }));
}

TEST_CASE("options of receive out of range are refused by name") {
  FakeBroker broker;
  Consumer consumer = connect(broker);
  const auto code = [&](ReceiveOptions options) { return consumer.receive(options).error().code; };
  CHECK(code({.topic = ""}) == ErrorCode::kInvalidName);
  CHECK(code({.topic = "t", .max = 0}) == ErrorCode::kOutOfRange);
  CHECK(code({.topic = "t", .max = 1025}) == ErrorCode::kOutOfRange);
  CHECK(code({.topic = "t", .wait = 61s}) == ErrorCode::kOutOfRange);
}

}  // namespace tally
