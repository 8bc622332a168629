// The consumer SDK with a real broker.

#include <atomic>
#include <catch2/catch.hpp>
#include <map>
#include <set>
#include <tally/consumer.hpp>
#include <tally/producer.hpp>
#include <tally/sqlite.hpp>

#include "tests/consumer/gate.h"
#include "tests/server/server_fixture.h"
#include "tools/process/child_process.h"

namespace tally {
namespace {

using namespace std::chrono_literals;
using testing::Faults;
using testing::Gate;
using testing::TestBroker;

constexpr const char* kTopic = "order.created";

void make_topic(const std::string& address) {
  testing::RawClient client(address);
  client.hello();
  testing::create_topic(client, kTopic, 4);
}

/// Sends messages with keys and bodies 0, 1, 2 …
void send(const std::string& address, int count) {
  Producer producer = Producer::connect({.broker = address, .group = "shop"}).value();
  std::vector<std::future<Result<SendReceipt>>> sent;
  for (int i = 0; i < count; ++i) {
    const std::string text = std::to_string(i);
    sent.push_back(producer.send_async({.topic = kTopic, .key = text, .body = text}));
  }
  for (auto& one : sent) one.get().value();
}

Consumer connect(const std::string& address, const std::string& group = "points") {
  return Consumer::connect({.broker = address, .group = group}).value();
}

/// What handlers saw: how often, and the highest attempt.
class Seen {
 public:
  void add(const Delivery& delivery) {
    const std::lock_guard lock(mutex_);
    ++times_[delivery.message().body];
    attempt_max_ = std::max(attempt_max_, delivery.attempt());
    changed_.notify_all();
  }
  bool wait_for(std::size_t messages) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, [&] { return times_.size() >= messages; });
  }
  std::map<std::string, int> times() {
    const std::lock_guard lock(mutex_);
    return times_;
  }
  std::uint32_t attempt_max() {
    const std::lock_guard lock(mutex_);
    return attempt_max_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, int> times_;
  std::uint32_t attempt_max_ = 0;
};

std::uint64_t unsettled(const std::string& address, const std::string& group = "points") {
  testing::RawClient client(address);
  client.hello();
  ListGroupsRequest request;
  request.name = group;
  std::uint64_t sum = 0;
  for (const GroupInfo& info : client.get<ListGroupsResponse>(request).groups) {
    for (const GroupQueueInfo& queue : info.queues) sum += queue.unsettled;
  }
  return sum;
}

}  // namespace

TEST_CASE("a group gets every message of the real broker once and leaves no backlog") {
  TestBroker broker;
  make_topic(broker.address());
  send(broker.address(), 2'000);
  Consumer consumer = connect(broker.address());
  Seen seen;
  auto subscription = consumer
                          .subscribe({.topic = kTopic, .parallelism = 4, .prefetch = 256},
                                     [&](const Delivery& delivery) {
                                       return seen.add(delivery), Settlement::ack();
                                     })
                          .value();
  REQUIRE(seen.wait_for(2'000));
  CHECK(subscription.stop());
  CHECK(seen.attempt_max() == 1);
  for (const auto& [body, times] : seen.times()) CHECK(times == 1);
  CHECK(unsettled(broker.address()) == 0);
}

TEST_CASE("the real broker brings a retried message again with its attempt") {
  TestBroker broker;
  make_topic(broker.address());
  send(broker.address(), 3);
  Consumer consumer = connect(broker.address());
  Seen done;
  auto subscription = consumer
                          .subscribe({.topic = kTopic},
                                     [&](const Delivery& delivery) {
                                       if (delivery.attempt() < 3) return Settlement::retry(1ms);
                                       done.add(delivery);
                                       return Settlement::ack();
                                     })
                          .value();
  REQUIRE(done.wait_for(3));
  CHECK(subscription.stop());
  CHECK(done.attempt_max() == 3);
  CHECK(unsettled(broker.address()) == 0);
}

TEST_CASE("a handler may run for several leases of the real broker") {
  TestBroker broker;
  make_topic(broker.address());
  send(broker.address(), 2);
  Consumer consumer = connect(broker.address());
  Seen seen;
  Gate never;
  auto subscription = consumer
                          .subscribe({.topic = kTopic, .lease = 200ms},
                                     [&](const Delivery& delivery) {
                                       never.wait_open_for(700ms);  // time is what is tested
                                       seen.add(delivery);
                                       return Settlement::ack();
                                     })
                          .value();
  REQUIRE(seen.wait_for(2));
  CHECK(subscription.stop());
  CHECK(seen.attempt_max() == 1);
  for (const auto& [body, times] : seen.times()) CHECK(times == 1);
  CHECK(unsettled(broker.address()) == 0);
}

TEST_CASE("a subscription goes on when its broker comes back") {
  TestBroker broker;
  broker.settings.listen = broker.address();  // the same one again
  make_topic(broker.address());
  send(broker.address(), 200);
  Consumer consumer = connect(broker.address());
  Seen seen;
  Gate half, back;
  auto subscription = consumer
                          .subscribe({.topic = kTopic, .parallelism = 2},
                                     [&](const Delivery& delivery) {
                                       seen.add(delivery);
                                       if (seen.times().size() == 100) {
                                         half.arrive();
                                         back.wait_open();
                                       }
                                       return Settlement::ack();
                                     })
                          .value();
  REQUIRE(half.wait_arrived(1));
  broker.restart();
  back.open();
  CHECK(seen.wait_for(200));
  CHECK(subscription.stop(20s));
  CHECK(unsettled(broker.address()) == 0);
}

TEST_CASE("a stopped subscription gives the real broker its messages back uncounted") {
  TestBroker broker;
  make_topic(broker.address());
  send(broker.address(), 20);
  Consumer first = connect(broker.address());
  Seen seen;
  Gate gate;
  Faults faults;
  auto subscription = first
                          .subscribe({.topic = kTopic},
                                     [&](const Delivery& delivery) {
                                       gate.arrive();
                                       faults.expect(gate.wait_open());
                                       seen.add(delivery);
                                       return Settlement::ack();
                                     })
                          .value();
  REQUIRE(gate.wait_arrived(1));
  CHECK(subscription.stop(1ms).error().code == ErrorCode::kTimeout);
  gate.open();
  CHECK(subscription.stop());
  CHECK(seen.times().size() == 1);

  Consumer second = connect(broker.address());
  auto rest = second
                  .subscribe({.topic = kTopic},
                             [&](const Delivery& d) { return seen.add(d), Settlement::ack(); })
                  .value();
  CHECK(seen.wait_for(20));
  CHECK(rest.stop());
  CHECK(seen.attempt_max() == 1);
  CHECK(unsettled(broker.address()) == 0);
  CHECK(faults.count() == 0);
}

TEST_CASE("receive, extend, nack and ack work with the real broker") {
  TestBroker broker;
  make_topic(broker.address());
  send(broker.address(), 1);
  Consumer consumer = connect(broker.address());
  CHECK(consumer.receive({.topic = "missing"}).error().code == ErrorCode::kTopicNotFound);
  auto got = consumer.receive({.topic = kTopic, .max = 10, .wait = 10s}).value();
  REQUIRE(got.size() == 1);
  CHECK(got[0].message().key == "0");
  CHECK(consumer.extend(got[0], 5s));
  CHECK(consumer.nack(got[0], 0ms));
  got = consumer.receive({.topic = kTopic, .wait = 10s}).value();
  REQUIRE(got.size() == 1);
  CHECK(got[0].attempt() == 2);
  CHECK(consumer.ack(got[0]));
  CHECK(consumer.ack(got[0]).error().code == ErrorCode::kLeaseLost);
  CHECK(unsettled(broker.address()) == 0);
}

TEST_CASE("each transaction of one database is booked once in another") {
  TestBroker broker;
  make_topic(broker.address());
  testing::TemporaryFolder folder;
  auto orders = sqlite::Database::open(folder.file("orders.db")).value();
  auto points = sqlite::Database::open(folder.file("points.db")).value();
  orders.execute("create table orders (id integer, state text)").value();
  points.execute("create table points (user text, n integer)").value();
  points.execute("insert into points values ('42', 0)").value();

  auto producer = Producer::connect({.broker = broker.address(), .group = "orders"}).value();
  producer.attach(orders).value();
  Consumer consumer = connect(broker.address());
  Seen seen;
  auto subscription =
      consumer
          .subscribe_in(points, {.topic = kTopic},
                        [&](const Delivery& d, sqlite::Transaction& tx) {
                          tx.execute("update points set n = n + 1 where user = ?", d.message().key);
                          seen.add(d);
                        })
          .value();
  for (int i = 0; i < 20; ++i) {
    const auto decision = i % 4 == 3 ? Decision::kRollback : Decision::kCommit;
    producer
        .in_transaction(orders, {.topic = kTopic, .key = "42", .body = std::to_string(i)},
                        [&](sqlite::Transaction& tx) {
                          tx.execute("insert into orders values (?, ?)", i, "new");
                          return decision;
                        })
        .value();
  }
  CHECK(seen.wait_for(15));
  CHECK(subscription.stop());
  CHECK(points.query("select n from points").value().at(0).integer(0) == 15);
  CHECK(orders.query("select count(*) from orders").value().at(0).integer(0) == 15);
  CHECK(unsettled(broker.address()) == 0);
}

TEST_CASE("the example gives one point for each order") {
  TestBroker broker;
  make_topic(broker.address());
  send(broker.address(), 3);
  testing::TemporaryFolder folder;
  auto example = ChildProcess::start(program_folder() + "/give_points",
                                     {broker.address(), folder.file("points.db"), "3"})
                     .value();
  for (const char* customer : {"0", "1", "2"}) {
    CHECK(example.read_line() == "customer " + std::string(customer) + ": 1");
  }
  CHECK(example.wait() == 0);
  CHECK(unsettled(broker.address()) == 0);
}

}  // namespace tally
