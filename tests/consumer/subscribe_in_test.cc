// subscribe_in() with a real SQLite database, against a broker in this process.

#include <atomic>
#include <catch2/catch.hpp>
#include <stdexcept>
#include <tally/consumer.hpp>
#include <tally/sqlite.hpp>

#include "tests/consumer/fake_broker.h"
#include "tests/support/temporary_folder.h"

namespace tally {
namespace {

using namespace std::chrono_literals;
using testing::FakeBroker;

struct Points {
  Points() { db.execute("create table points (user text primary key, n integer)").value(); }
  std::int64_t of(const std::string& user) {
    const auto rows = db.query("select n from points where user = ?", user).value();
    return rows.empty() ? 0 : rows[0].integer(0);
  }
  testing::TemporaryFolder folder;
  sqlite::Database db = sqlite::Database::open(folder.file("points.db")).value();
};

constexpr const char* kCount =
    "insert into points values (?, 1) on conflict (user) do update set n = n + 1";

void count_order(const Delivery& d, sqlite::Transaction& tx) {
  tx.execute(kCount, d.message().key);
}

}  // namespace

TEST_CASE("work of subscribe_in runs once although the message is delivered twice") {
  FakeBroker broker;
  broker.add("order", "ann");
  Points points;
  Consumer consumer = Consumer::connect({.broker = broker.address(), .group = "points"}).value();
  std::atomic<int> runs{0};
  const auto subscription = consumer.subscribe_in(points.db, {.topic = "orders"},
                                                  [&](const Delivery& d, sqlite::Transaction& tx) {
                                                    ++runs;
                                                    tx.execute(kCount, d.message().key);
                                                  });
  REQUIRE(subscription);
  CHECK(broker.wait([](const auto& counts) { return counts.acked == 1; }));
  broker.deliver_again(0);
  CHECK(broker.wait([](const auto& counts) { return counts.acked == 2; }));
  CHECK(runs == 1);
  CHECK(points.of("ann") == 1);
}

TEST_CASE("work that a consumer committed before it died is not run by the next one") {
  FakeBroker broker;
  broker.add("order", "ann");
  Points points;
  const MessageUid id{broker.log(), Lsn{1'000}};
  const auto committed =
      points.db.run_once("points", id, [](LocalTransaction& local) -> Result<Decision> {
        static_cast<sqlite::Transaction&>(local).execute(kCount, "ann");
        return Decision::kCommit;
      });
  REQUIRE(committed.value());

  SECTION("of the same group") {
    Consumer consumer = Consumer::connect({.broker = broker.address(), .group = "points"}).value();
    const auto subscription = consumer.subscribe_in(points.db, {.topic = "orders"}, count_order);
    CHECK(broker.wait([](const auto& counts) { return counts.acked == 1; }));
    CHECK(points.of("ann") == 1);
  }
  SECTION("but by another group, for itself") {
    Consumer consumer = Consumer::connect({.broker = broker.address(), .group = "bonus"}).value();
    const auto subscription = consumer.subscribe_in(points.db, {.topic = "orders"}, count_order);
    CHECK(broker.wait([](const auto& counts) { return counts.acked == 1; }));
    CHECK(points.of("ann") == 2);
  }
}

TEST_CASE("failed work of subscribe_in leaves nothing and is tried again") {
  FakeBroker broker;
  for (const char* body : {"throws", "bad statement", "retries"}) broker.add(body, body);
  Points points;
  Consumer consumer = Consumer::connect({.broker = broker.address(), .group = "points"}).value();
  const auto subscription = consumer
                                .subscribe_in(points.db, {.topic = "orders"},
                                              [](const Delivery& d, sqlite::Transaction& tx) {
                                                tx.execute(kCount, d.message().key);
                                                if (d.attempt() > 1) return Settlement::ack();
                                                if (d.message().body == "throws")
                                                  throw std::runtime_error("no");
                                                if (d.message().body == "bad statement")
                                                  tx.execute("insert nonsense");
                                                if (d.message().body == "retries")
                                                  return Settlement::retry(1ms);
                                                return Settlement::ack();
                                              })
                                .value();
  CHECK(broker.wait([](const auto& counts) { return counts.acked == 3; }));
  CHECK(broker.counts().nacked == 3);
  for (const char* user : {"throws", "bad statement", "retries"}) CHECK(points.of(user) == 1);
}

TEST_CASE("a message that work of subscribe_in dead-letters leaves nothing in the database") {
  FakeBroker broker;
  broker.add("poison", "ann");
  Points points;
  Consumer consumer = Consumer::connect({.broker = broker.address(), .group = "points"}).value();
  const auto subscription = consumer
                                .subscribe_in(points.db, {.topic = "orders"},
                                              [](const Delivery& d, sqlite::Transaction& tx) {
                                                tx.execute(kCount, d.message().key);
                                                return Settlement::dead_letter();
                                              })
                                .value();
  CHECK(broker.wait([](const auto& counts) { return counts.dead == 1; }));
  CHECK(points.of("ann") == 0);
}

}  // namespace tally
