#include <catch2/catch.hpp>
#include <future>
#include <tally/producer.hpp>
#include <tally/sqlite.hpp>

#include "protocol/base/clock.h"
#include "tests/producer/serving_broker.h"
#include "tests/support/temporary_folder.h"

using namespace tally;
using namespace std::chrono_literals;
using tally::testing::ServingBroker;

namespace {

Message order(std::string body = "{}") {
  return {.topic = "order.created", .key = "42", .body = std::move(body)};
}

/// A script that reacts once, to the first request of a kind.
template <typename T>
ServingBroker::Script once(testing::Reaction reaction) {
  return [reaction, done = false](const Request& request) mutable -> testing::Reaction {
    if (done || !std::holds_alternative<T>(request)) return {};
    done = true;
    return reaction;
  };
}

}  // namespace

TEST_CASE("a send answers with the message's uid and place") {
  ServingBroker broker;
  auto producer = Producer::connect({.broker = broker.address(), .group = "orders"}).value();
  const SendReceipt receipt = producer.send(order()).value();
  CHECK(receipt.id.lsn == Lsn(1));
  CHECK(receipt.id.log.bytes[0] == 9);
  CHECK(receipt.offset == Offset(0));
  CHECK(producer.send_async(order()).get().value().offset == Offset(1));
  CHECK(broker.wait_for<SendRequest>(2).front().topic == "order.created");
}

TEST_CASE("a message that is not well-formed never leaves") {
  ServingBroker broker;
  auto producer = Producer::connect({.broker = broker.address(), .group = "orders"}).value();
  CHECK(producer.send({.topic = "no spaces"}).error().code == ErrorCode::kInvalidName);
  CHECK(producer.send({.topic = "t", .key = std::string(256, 'k')}).error().code ==
        ErrorCode::kFieldTooLong);
  CHECK(producer.send(order(std::string((4u << 20) + 1, 'x'))).error().code ==
        ErrorCode::kMessageTooLarge);
  CHECK(broker.count<SendRequest>() == 0);
}

TEST_CASE("options that make no sense are refused") {
  CHECK(Producer::connect({}).error().code == ErrorCode::kInvalidName);
  CHECK(Producer::connect({.broker = "nonsense", .group = "g"}).error().code ==
        ErrorCode::kInvalidArgument);
  CHECK(Producer::connect({.group = "g", .timeout = 0ms}).error().code ==
        ErrorCode::kInvalidArgument);
}

TEST_CASE("thousands of sends fly at once, without a thread for each") {
  ServingBroker broker;
  auto producer = Producer::connect({.broker = broker.address(), .group = "orders"}).value();
  constexpr int kSends = 5'000;
  std::atomic<int> stored = 0;
  std::promise<void> all;
  for (int i = 0; i < kSends; ++i) {
    producer.send_async(order(), [&](Result<SendReceipt>&& receipt) {
      if (receipt && ++stored == kSends) all.set_value();
    });
  }
  REQUIRE(all.get_future().wait_for(20s) == std::future_status::ready);
  CHECK(stored == kSends);
}

TEST_CASE("a send that was cut off is repeated under its number") {
  ServingBroker broker(once<SendRequest>(testing::HangUpAfter{}));
  auto producer = Producer::connect({.broker = broker.address(), .group = "orders"}).value();
  CHECK(producer.send(order("first")).has_value());
  CHECK(producer.send(order("second")).has_value());
  const auto asked = broker.wait_for<SendRequest>(3);
  REQUIRE(asked.size() == 3);
  CHECK(asked[0].producer != 0);
  CHECK(asked[0] == asked[1]);
  CHECK(asked[0].sequence == 1);
  CHECK(asked[2].sequence == 2);
}

TEST_CASE("a send that was cut off ends unknown when the broker does not come back in time") {
  auto broker = std::make_unique<ServingBroker>(once<SendRequest>(testing::Silence{}));
  auto producer =
      Producer::connect({.broker = broker->address(), .group = "orders", .timeout = 300ms}).value();
  auto receipt = producer.send_async(order());
  broker->wait_for<SendRequest>();
  CHECK(outcome(receipt.get().error().code) == Outcome::kUnknown);
}

TEST_CASE("sends over the limit are refused at once") {
  std::string address;
  {
    const net::ScriptedBroker gone;
    address = gone.address();
  }
  auto producer = Producer::connect({.broker = address, .group = "orders"}).value();
  const std::string body(4u << 20, 'x');
  std::atomic<int> refused = 0;
  for (int i = 0; i < 8; ++i) {
    producer.send_async(order(body), [&](Result<SendReceipt>&& receipt) {
      refused += receipt.error().code == ErrorCode::kOverloaded ? 1 : 0;
    });
  }
  CHECK(refused == 1);  // seven fit into 32 MiB, with their headers
  CHECK(producer.stop(1ms).error().code == ErrorCode::kTimeout);
  CHECK(refused == 1);
}

TEST_CASE("what the broker says to a send reaches the caller") {
  ServingBroker broker(once<SendRequest>(Error(ErrorCode::kTopicNotFound, "no such topic")));
  auto producer = Producer::connect({.broker = broker.address(), .group = "orders"}).value();
  CHECK(producer.send(order()).error().code == ErrorCode::kTopicNotFound);
}

TEST_CASE("without a broker a send ends at its deadline, definitely") {
  std::string address;
  {
    const net::ScriptedBroker gone;
    address = gone.address();
  }
  auto producer =
      Producer::connect({.broker = address, .group = "orders", .timeout = 50ms}).value();
  CHECK(producer.send(order()).error().code == ErrorCode::kUnreachable);
}

TEST_CASE("a callback must not wait on the thread that runs it") {
  ServingBroker broker;
  auto producer = Producer::connect({.broker = broker.address(), .group = "orders"}).value();
  std::promise<ErrorCode> inside;
  producer.send_async(order(), [&](Result<SendReceipt>&&) {
    inside.set_value(producer.send(order()).error().code);
  });
  CHECK(inside.get_future().get() == ErrorCode::kInvalidArgument);
}

TEST_CASE("stop drains sends, then refuses everything") {
  ServingBroker broker;
  auto producer = Producer::connect({.broker = broker.address(), .group = "orders"}).value();
  std::atomic<int> stored = 0;
  for (int i = 0; i < 100; ++i) {
    producer.send_async(order(), [&](Result<SendReceipt>&& receipt) { stored += receipt ? 1 : 0; });
  }
  CHECK(producer.stop(20s).has_value());
  CHECK(stored == 100);
  CHECK(producer.send(order()).error().code == ErrorCode::kClosed);
  CHECK(producer.wait("tx").error().code == ErrorCode::kClosed);
  CHECK(producer.stop().has_value());
}

TEST_CASE("stop keeps its deadline when the broker is silent") {
  ServingBroker broker(once<SendRequest>(testing::Silence{}));
  auto producer = Producer::connect({.broker = broker.address(), .group = "orders"}).value();
  auto receipt = producer.send_async(order());
  CHECK(producer.stop(50ms).error().code == ErrorCode::kTimeout);
  CHECK(receipt.get().error().code == ErrorCode::kClosed);
}

TEST_CASE("a callback that throws is logged and harms nobody") {
  ServingBroker broker;
  std::promise<std::string> logged;
  auto producer = Producer::connect({.broker = broker.address(),
                                     .group = "orders",
                                     .log =
                                         [&](LogLevel level, std::string_view text) {
                                           if (level == LogLevel::kError) {
                                             logged.set_value(std::string(text));
                                           }
                                         }})
                      .value();
  producer.send_async(order(), [](Result<SendReceipt>&&) { throw std::runtime_error("mine"); });
  CHECK(logged.get_future().get() == "the callback of a send threw: mine");
  CHECK(producer.send(order()).has_value());
}

TEST_CASE("a producer may end in its own callback") {
  ServingBroker broker;
  std::promise<void> ended;
  auto producer = std::make_unique<Producer>(
      Producer::connect({.broker = broker.address(), .group = "orders"}).value());
  Producer* alive = producer.get();
  alive->send_async(order(), [&](Result<SendReceipt>&&) {
    producer.reset();
    ended.set_value();
  });
  CHECK(ended.get_future().wait_for(20s) == std::future_status::ready);
}

TEST_CASE("a producer can be moved while it works") {
  ServingBroker broker;
  auto first = Producer::connect({.broker = broker.address(), .group = "orders"}).value();
  auto receipt = first.send_async(order());
  Producer second = std::move(first);
  CHECK(receipt.get().has_value());
  CHECK(second.send(order()).has_value());
}

TEST_CASE("losses of the connection are logged") {
  std::promise<void> lost;
  ServingBroker broker(once<SendRequest>(testing::HangUpBefore{}));
  auto producer = Producer::connect({.broker = broker.address(),
                                     .group = "orders",
                                     .log =
                                         [&](LogLevel level, std::string_view) {
                                           if (level == LogLevel::kWarning) lost.set_value();
                                         }})
                      .value();
  static_cast<void>(producer.send(order()));
  CHECK(lost.get_future().wait_for(20s) == std::future_status::ready);
}
