// Subscriptions against a broker in this process.

#include <atomic>
#include <catch2/catch.hpp>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <tally/consumer.hpp>

#include "tests/consumer/fake_broker.h"
#include "tests/consumer/gate.h"

namespace tally {
namespace {

using namespace std::chrono_literals;
using testing::FakeBroker;
using testing::Faults;
using testing::Gate;

Consumer connect(const FakeBroker& broker, LogCallback log = {}) {
  return Consumer::connect({.broker = broker.address(), .group = "points", .log = std::move(log)})
      .value();
}

/// Keeps what the SDK says.
class Lines {
 public:
  LogCallback callback() {
    return [this](LogLevel, std::string_view text) {
      const std::lock_guard lock(mutex_);
      text_ += std::string(text) + "\n";
    };
  }
  bool contain(std::string_view part) {
    const std::lock_guard lock(mutex_);
    return text_.find(part) != std::string::npos;
  }

 private:
  std::mutex mutex_;
  std::string text_;
};

}  // namespace

TEST_CASE("a subscription gives every message to its handler once and acks it") {
  FakeBroker broker;
  Faults faults;
  for (int i = 0; i < 500; ++i) broker.add("body " + std::to_string(i), std::to_string(i));
  Consumer consumer = connect(broker);
  std::mutex mutex;
  std::multiset<std::string> seen;
  const auto handler = [&](const Delivery& delivery) {
    const std::lock_guard lock(mutex);
    faults.expect(delivery.message().topic == "orders");
    faults.expect(delivery.message().body == "body " + delivery.message().key);
    faults.expect(delivery.id().log == broker.log());
    seen.insert(delivery.message().body);
    return Settlement::ack();
  };
  const auto subscription =
      consumer.subscribe({.topic = "orders", .parallelism = 4, .prefetch = 16}, handler).value();
  CHECK(broker.wait([](const auto& counts) { return counts.acked == 500; }));
  CHECK(broker.counts().grants == 500);
  const std::lock_guard lock(mutex);
  CHECK(seen.size() == 500);
  CHECK(faults.count() == 0);
}

TEST_CASE("retry and exceptions bring a message again, dead_letter does not") {
  FakeBroker broker;
  for (const char* body : {"retry", "throw", "throw 7", "dead"}) broker.add(body);
  Lines lines;
  Consumer consumer = connect(broker, lines.callback());
  const auto handler = [](const Delivery& delivery) {
    const std::string& body = delivery.message().body;
    if (body == "dead") return Settlement::dead_letter();
    if (delivery.attempt() > 1) return Settlement::ack();
    if (body == "throw") throw std::runtime_error("out of luck");
    if (body == "throw 7") throw 7;
    return Settlement::retry(1ms);
  };
  const auto subscription = consumer.subscribe({.topic = "orders"}, handler).value();
  CHECK(broker.wait([](const auto& counts) { return counts.acked == 3 && counts.dead == 1; }));
  CHECK(broker.counts().nacked == 3);
  CHECK(lines.contain("out of luck"));
  CHECK(lines.contain("unknown type"));
}

TEST_CASE("leases are extended while a handler of a subscription runs") {
  FakeBroker broker;
  Faults faults;
  broker.add("slow");
  broker.add("waits for the slow one");
  Consumer consumer = connect(broker);
  const auto handler = [&](const Delivery& delivery) {
    if (delivery.message().body == "slow") {
      faults.expect(broker.wait([](const auto& counts) { return counts.extensions >= 3; }));
    }
    faults.expect(delivery.attempt() == 1);
    return Settlement::ack();
  };
  const auto subscription =
      consumer.subscribe({.topic = "orders", .lease = 200ms}, handler).value();
  CHECK(broker.wait([](const auto& counts) { return counts.acked == 2; }));
  CHECK(broker.counts().expired == 0);
  CHECK(broker.counts().grants == 2);
  CHECK(faults.count() == 0);
}

TEST_CASE("a result that ends after the connection broke is settled on the next one") {
  FakeBroker broker;
  Faults faults;
  for (int i = 0; i < 8; ++i) broker.add(std::to_string(i));
  Consumer consumer = connect(broker);
  Gate gate;
  std::mutex mutex;
  std::map<std::string, int> handled;
  const auto handler = [&](const Delivery& delivery) {
    gate.arrive();
    faults.expect(gate.wait_open());
    const std::lock_guard lock(mutex);
    ++handled[delivery.message().body];
    return Settlement::ack();
  };
  const auto subscription = consumer.subscribe({.topic = "orders", .prefetch = 7}, handler).value();
  REQUIRE(gate.wait_arrived(1));
  broker.cut();
  REQUIRE(broker.wait([](const auto& counts) { return counts.connections == 2; }));
  gate.open();
  CHECK(broker.wait([](const auto& counts) { return counts.acked == 8; }));
  const std::lock_guard lock(mutex);
  CHECK(handled.size() == 8);
  for (const auto& [body, times] : handled) CHECK(times == 1);
  CHECK(faults.count() == 0);
}

TEST_CASE("a settle whose answer is lost is repeated and the handler is not called again") {
  FakeBroker broker;
  broker.add("once");
  Consumer consumer = connect(broker);
  std::atomic<int> handled{0};
  broker.swallow_next_settle();
  const auto handler = [&](const Delivery&) { return ++handled, Settlement::ack(); };
  auto subscription = consumer.subscribe({.topic = "orders"}, handler).value();
  CHECK(broker.wait([](const auto& counts) { return counts.refused_settles == 1; }));
  CHECK(broker.counts().acked == 1);
  CHECK(subscription.stop());
  CHECK(handled == 1);
}

TEST_CASE("a damaged message is reported, not delivered, and comes again") {
  FakeBroker broker;
  Faults faults;
  broker.damage_next_block();
  broker.add("whole");
  Lines lines;
  Consumer consumer = connect(broker, lines.callback());
  const auto handler = [&](const Delivery& delivery) {
    faults.expect(delivery.message().body == "whole");
    faults.expect(delivery.attempt() == 2);
    return Settlement::ack();
  };
  const auto subscription = consumer.subscribe({.topic = "orders"}, handler).value();
  CHECK(broker.wait([](const auto& counts) { return counts.acked == 1; }));
  CHECK(broker.counts().nacked == 1);
  CHECK(lines.contain("BAD_MESSAGE_BLOCK"));
  CHECK(faults.count() == 0);
}

TEST_CASE("stop lets the running handler end, settles it, and gives the others back") {
  FakeBroker broker;
  Faults faults;
  for (int i = 0; i < 5; ++i) broker.add(std::to_string(i));
  Consumer consumer = connect(broker);
  Gate gate;
  const auto handler = [&](const Delivery&) {
    gate.arrive();
    faults.expect(gate.wait_open());
    return Settlement::ack();
  };
  auto subscription = consumer.subscribe({.topic = "orders"}, handler).value();
  REQUIRE(gate.wait_arrived(1));
  REQUIRE(broker.wait([](const auto& counts) { return counts.leased == 5; }));

  const auto early = subscription.stop(10ms);
  REQUIRE_FALSE(early);
  CHECK(early.error().code == ErrorCode::kTimeout);
  gate.open();
  CHECK(subscription.stop());
  CHECK(subscription.stop());  // again changes nothing
  CHECK(broker.counts().acked == 1);
  CHECK(gate.arrived() == 1);

  Consumer other = connect(broker);
  const auto rest =
      other.subscribe({.topic = "orders"}, [](const Delivery&) { return Settlement::ack(); })
          .value();
  CHECK(broker.wait([](const auto& counts) { return counts.acked == 5; }));
  CHECK(faults.count() == 0);
}

TEST_CASE("the end of a subscription gives messages back without counting an attempt") {
  FakeBroker broker;
  Faults faults;
  for (int i = 0; i < 5; ++i) broker.add(std::to_string(i));
  Gate gate;
  {
    Consumer consumer = connect(broker);
    const auto subscription = consumer
                                  .subscribe({.topic = "orders"},
                                             [&](const Delivery&) {
                                               gate.arrive();
                                               faults.expect(gate.wait_open());
                                               return Settlement::ack();
                                             })
                                  .value();
    REQUIRE(gate.wait_arrived(1));
    REQUIRE(broker.wait([](const auto& counts) { return counts.leased == 5; }));
    gate.open();
  }
  Consumer other = connect(broker);
  const auto rest = other
                        .subscribe({.topic = "orders"},
                                   [&](const Delivery& delivery) {
                                     faults.expect(delivery.attempt() == 1);
                                     return Settlement::ack();
                                   })
                        .value();
  CHECK(broker.wait([](const auto& counts) { return counts.acked == 5; }));
  CHECK(faults.count() == 0);
}

TEST_CASE("a handler may stop or destroy its own subscription and even the consumer") {
  FakeBroker broker;
  Faults faults;
  broker.add("goodbye");
  Gate set, gone;
  std::optional<Consumer> consumer(connect(broker));
  std::optional<Subscription> subscription;
  subscription.emplace(consumer
                           ->subscribe({.topic = "orders"},
                                       [&](const Delivery&) {
                                         faults.expect(set.wait_open());
                                         const auto stopped = subscription->stop();
                                         faults.expect(!stopped);
                                         subscription.reset();
                                         consumer.reset();
                                         gone.open();
                                         return Settlement::ack();
                                       })
                           .value());
  set.open();
  CHECK(gone.wait_open());
  CHECK(faults.count() == 0);
}

TEST_CASE("a subscription may outlive its consumer") {
  FakeBroker broker;
  broker.add("one");
  std::optional<Subscription> subscription;
  {
    Consumer consumer = connect(broker);
    subscription.emplace(
        consumer.subscribe({.topic = "orders"}, [](const Delivery&) { return Settlement::ack(); })
            .value());
    CHECK(broker.wait([](const auto& counts) { return counts.acked == 1; }));
  }
  CHECK(subscription->stop());
}

TEST_CASE("without a broker everything ends when it is told to") {
  Consumer consumer =
      Consumer::connect({.broker = "127.0.0.1:1", .group = "points", .timeout = 50ms}).value();
  auto subscription =
      consumer.subscribe({.topic = "orders"}, [](const Delivery&) { return Settlement::ack(); })
          .value();
  const auto received = consumer.receive({.topic = "orders"});
  REQUIRE_FALSE(received);
  CHECK(received.error().code == ErrorCode::kUnreachable);
  CHECK(consumer.stop());
}

TEST_CASE("an executor runs the handlers on the application's threads") {
  FakeBroker broker;
  Faults faults;
  for (int i = 0; i < 50; ++i) broker.add(std::to_string(i));
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> tasks;
  bool stopping = false;
  std::thread mine([&] {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [&] { return stopping || !tasks.empty(); });
      if (tasks.empty()) return;
      const auto task = std::move(tasks.front());
      tasks.pop_front();
      lock.unlock();
      task();
      lock.lock();
    }
  });
  const std::thread::id my_id = mine.get_id();
  {
    const auto executor = [&](std::function<void()> task) {
      const std::lock_guard lock(mutex);
      tasks.push_back(std::move(task));
      changed.notify_all();
    };
    Consumer consumer =
        Consumer::connect({.broker = broker.address(), .group = "points", .executor = executor})
            .value();
    auto subscription = consumer
                            .subscribe({.topic = "orders"},
                                       [&](const Delivery&) {
                                         faults.expect(std::this_thread::get_id() == my_id);
                                         return Settlement::ack();
                                       })
                            .value();
    CHECK(broker.wait([](const auto& counts) { return counts.acked == 50; }));
    CHECK(subscription.stop());
  }
  {
    const std::lock_guard lock(mutex);
    stopping = true;
    changed.notify_all();
  }
  mine.join();
  CHECK(faults.count() == 0);
}

TEST_CASE("options out of range are refused by name") {
  FakeBroker broker;
  Consumer consumer = connect(broker);
  const auto ack = [](const Delivery&) { return Settlement::ack(); };
  const auto code = [&](SubscribeOptions options) {
    return consumer.subscribe(std::move(options), ack).error().code;
  };
  CHECK(code({.topic = "no/slash"}) == ErrorCode::kInvalidName);
  CHECK(code({.topic = "t", .parallelism = 0}) == ErrorCode::kOutOfRange);
  CHECK(code({.topic = "t", .parallelism = 257}) == ErrorCode::kOutOfRange);
  CHECK(code({.topic = "t", .prefetch = 769}) == ErrorCode::kOutOfRange);
  CHECK(code({.topic = "t", .lease = 99ms}) == ErrorCode::kOutOfRange);
  CHECK(consumer.subscribe({.topic = "t"}, Handler()).error().code == ErrorCode::kInvalidArgument);
  CHECK(Consumer::connect({.broker = "nowhere", .group = "g"}).error().code ==
        ErrorCode::kInvalidArgument);
  CHECK(Consumer::connect({.group = ""}).error().code == ErrorCode::kInvalidName);
}

}  // namespace tally
