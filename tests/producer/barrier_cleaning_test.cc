// Barrier rows of a real database are removed when the broker, in the hands of the test, knows their transactions as final.

#include <future>
#include <map>
#include <tally/sqlite.hpp>

#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/base/seeded_bug.h"
#include "protocol/wire/codec.h"
#include "tests/producer/core_desk.h"
#include "tests/producer/serving_broker.h"
#include "tests/support/temporary_folder.h"

using namespace tally;
using namespace tally::testing;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t kWrittenMs = 1'000'000;  // database's clock
constexpr std::int64_t kOldMs = kLifetimeMs + limits::kBarrierMarginMs;

/// Time is the broker's: what it says in Hello.
struct Scene {
  Scene() { desk.core.attach(db.store_id()); }

  void connect(std::int64_t broker_time_ms, const LogId& log = half(1).log) {
    HelloResponse hello;
    hello.log = log;
    hello.broker_time_ms = broker_time_ms;
    hello.transaction_lifetime_ms = kLifetimeMs;
    desk.core.connected(desk.now, hello);
  }
  void write(const std::string& id, std::int64_t written_ms = kWrittenMs) {
    REQUIRE(db.check(id, half(1)).decision == Decision::kRollback);
    db.execute("update tally_barrier set written_at_ms = ? where transaction_id = ?", written_ms,
               sqlite::Blob{id})
        .value();
  }
  void write_many(int from, int count, std::int64_t written_ms) {
    db.execute(
          "with recursive n(i) as (select ? union all select i + 1 from n where i + 1 < ?)"
          " insert into tally_barrier select cast(printf('%0255d', i) as blob), ?, 1, 1, 'R', ?"
          " from n",
          from, from + count, sqlite::Blob{half(1).log.view()}, written_ms)
        .value();
  }
  std::int64_t rows() {
    return db.query("select count(*) from tally_barrier").value().front().integer(0);
  }
  bool has(const std::string& id) {
    return !db.query("select 1 from tally_barrier where transaction_id = ?", sqlite::Blob{id})
                .value()
                .empty();
  }
  FindFinalResponse say(const FindFinalRequest& asked) {
    FindFinalResponse response{.known_since_ms = known_since_ms};
    for (const std::string& id : asked.transactions) {
      const auto found = known.find(id);
      response.finality.push_back(found == known.end() ? others : found->second);
    }
    return response;
  }
  /// One page, if it is time for one. How many ids the broker was asked for.
  std::size_t page() {
    desk.core.tick(desk.now);
    const auto list = desk.find<action::ListBarrier>();
    if (!list) return 0;
    desk.core.barrier_listed(desk.now, db.barrier_rows(list->query));
    const auto ask = desk.find<action::AskFindFinal>();
    if (!ask) return 0;
    desk.core.finality_answered(desk.now, say(ask->request));
    if (const auto forget = desk.find<action::ForgetRows>()) {
      desk.core.barrier_forgotten(desk.now, db.forget(forget->transactions, forget->before_ms));
    }
    return ask->request.transactions.size();
  }
  /// Pages until the next round is a minute away.
  void round() {
    const std::int64_t end_ms = desk.now + BarrierCleaning::kRoundMs;
    while (desk.core.next_tick_ms() < end_ms) {
      desk.now = std::max(desk.now, desk.core.next_tick_ms());
      page();
    }
  }

  TemporaryFolder folder{};
  sqlite::Database db = sqlite::Database::open(folder.file("orders.db")).value();
  Desk desk{};
  std::map<std::string, Finality> known{};
  Finality others = Finality::kUnknown;
  std::int64_t known_since_ms = 0;
};

bool row_of_a_parked_transaction_stays() {
  Scene s;
  s.write("parked");
  s.known = {{"parked", Finality::kOpen}};
  s.connect(kWrittenMs + 100 * kOldMs);
  s.round();
  return s.has("parked");
}

}  // namespace

TEST_CASE("the row of a final transaction goes, that of an open one stays") {
  Scene s;
  s.write("decided");
  s.write("pending");
  s.known = {{"decided", Finality::kFinal}, {"pending", Finality::kOpen}};
  s.connect(kWrittenMs + kOldMs + 1);
  CHECK(s.page() == 2);
  CHECK_FALSE(s.has("decided"));
  CHECK(s.has("pending"));
  CHECK(s.desk.core.next_tick_ms() == s.desk.now + BarrierCleaning::kRoundMs);
  s.known["pending"] = Finality::kFinal;
  s.desk.now = s.desk.core.next_tick_ms();
  CHECK(s.page() == 1);
  CHECK(s.rows() == 0);
}

TEST_CASE("the row of a parked transaction stays for ever, unless the rule is broken") {
  CHECK(row_of_a_parked_transaction_stays());
  seed_bug("barrier_row_removed_too_early");
  const bool stays = row_of_a_parked_transaction_stays();
  seed_bug({});
  CHECK_FALSE(stays);
}

TEST_CASE("no row is looked at before lifetime and margin have passed") {
  Scene s;
  s.write("tx");
  s.others = Finality::kFinal;
  s.connect(kWrittenMs + kOldMs);
  CHECK(s.page() == 0);
  CHECK(s.rows() == 1);
  s.connect(kWrittenMs + kOldMs + 1);
  s.desk.now = s.desk.core.next_tick_ms();
  CHECK(s.page() == 1);
  CHECK(s.rows() == 0);
}

TEST_CASE("a row whose transaction the broker no longer knows goes when every lifetime is over") {
  Scene s;
  s.write("tx");
  const std::int64_t over_ms =
      kWrittenMs + limits::kTransactionLifetimeMsMax + limits::kBarrierMarginMs;
  SECTION("not before the longest lifetime is over") {
    s.known_since_ms = over_ms;
    s.connect(over_ms);
    s.round();
    CHECK(s.rows() == 1);
  }
  SECTION("not when its decision would be known") {
    s.known_since_ms = kWrittenMs + limits::kBarrierMarginMs;
    s.connect(over_ms + 1);
    s.round();
    CHECK(s.rows() == 1);
  }
  SECTION("after both") {
    s.known_since_ms = kWrittenMs + limits::kBarrierMarginMs + 1;
    s.connect(over_ms + 1);
    s.round();
    CHECK(s.rows() == 0);
  }
}

TEST_CASE("thousands of open rows do not keep a final one behind them from its turn") {
  Scene s;
  s.write_many(0, 3'000, kWrittenMs - 1);
  s.write("decided");
  s.others = Finality::kOpen;
  s.known = {{"decided", Finality::kFinal}};
  s.connect(kWrittenMs + kOldMs + 1);
  s.round();
  CHECK_FALSE(s.has("decided"));
  CHECK(s.rows() == 3'000);
}

TEST_CASE("a page of the longest ids is a request that a broker takes") {
  Scene s;
  s.write_many(0, 1'024, kWrittenMs);
  s.connect(kWrittenMs + kOldMs + 1);
  s.desk.core.tick(s.desk.now);
  s.desk.core.barrier_listed(s.desk.now,
                             s.db.barrier_rows(s.desk.take<action::ListBarrier>().query));
  const auto ask = s.desk.take<action::AskFindFinal>();
  CHECK(ask.request.transactions.size() < 1'024);
  std::string bytes;
  wire::Codec codec;
  codec.append_request(RequestId(1), ask.request, {}, bytes);
  const auto step = wire::FrameDecoder(limits::kFrameBytesMax).next(bytes).value();
  REQUIRE(step.frame);
  CHECK(codec.decode_request(*step.frame).has_value());
}

TEST_CASE("a row stays that only the broker's clock calls old") {
  Scene s;
  s.write("tx");
  s.others = GENERATE(Finality::kFinal, Finality::kUnknown);
  const bool is_known = s.others == Finality::kFinal;
  const std::int64_t old_ms =
      is_known ? kOldMs : limits::kTransactionLifetimeMsMax + limits::kBarrierMarginMs;
  s.known_since_ms = kWrittenMs + old_ms;
  s.connect(kWrittenMs + old_ms + 1);
  s.desk.core.tick(s.desk.now);
  auto rows = s.db.barrier_rows(s.desk.take<action::ListBarrier>().query).value();
  REQUIRE(rows.size() == 1);
  const bool is_old = GENERATE(false, true);
  rows.front().age_ms = is_old ? old_ms : old_ms - 1;
  s.desk.core.barrier_listed(s.desk.now, std::move(rows));
  s.desk.core.finality_answered(s.desk.now, s.say(s.desk.take<action::AskFindFinal>().request));
  CHECK(s.desk.none<action::ForgetRows>() != is_old);
}

TEST_CASE("rows of another broker's log stay") {
  Scene s;
  s.write("tx");
  s.others = Finality::kFinal;
  LogId other;
  other.bytes[0] = 1;
  SECTION("connected to the other one") {
    s.connect(kWrittenMs + kOldMs + 1, other);
    s.round();
  }
  SECTION("connected to it before the answer") {
    s.connect(kWrittenMs + kOldMs + 1);
    s.desk.core.tick(s.desk.now);
    s.desk.core.barrier_listed(s.desk.now,
                               s.db.barrier_rows(s.desk.take<action::ListBarrier>().query));
    const auto ask = s.desk.take<action::AskFindFinal>();
    s.connect(kWrittenMs + kOldMs + 1, other);
    s.desk.core.finality_answered(s.desk.now, s.say(ask.request));
    CHECK(s.desk.none<action::ForgetRows>());
  }
  CHECK(s.rows() == 1);
}

TEST_CASE("what fails is tried again with the next round") {
  Scene s;
  s.write("tx");
  s.others = Finality::kFinal;
  s.connect(kWrittenMs + kOldMs + 1);
  const Error busy(ErrorCode::kDatabaseBusy, "locked");
  s.desk.core.tick(s.desk.now);
  const auto query = s.desk.take<action::ListBarrier>().query;
  CHECK(s.desk.core.next_tick_ms() == ProducerCore::kNever);
  SECTION("listing") { s.desk.core.barrier_listed(s.desk.now, busy); }
  SECTION("asking") {
    s.desk.core.barrier_listed(s.desk.now, s.db.barrier_rows(query));
    s.desk.core.finality_answered(s.desk.now, kCutOff);
  }
  SECTION("an answer of another length") {
    s.desk.core.barrier_listed(s.desk.now, s.db.barrier_rows(query));
    s.desk.core.finality_answered(s.desk.now, FindFinalResponse{});
  }
  SECTION("forgetting") {
    s.desk.core.barrier_listed(s.desk.now, s.db.barrier_rows(query));
    s.desk.core.finality_answered(s.desk.now, FindFinalResponse{{Finality::kFinal}, 0});
    s.desk.core.barrier_forgotten(s.desk.now, busy);
  }
  CHECK(s.rows() == 1);
  CHECK(s.desk.core.next_tick_ms() == s.desk.now + BarrierCleaning::kRoundMs);
  s.desk.now = s.desk.core.next_tick_ms();
  CHECK(s.page() == 1);
  CHECK(s.rows() == 0);
}

namespace {

/// Tells when rows were forgotten.
struct WatchedDatabase : sqlite::Database {
  explicit WatchedDatabase(sqlite::Database db) : Database(std::move(db)) {}
  Result<void> forget(const std::vector<std::string>& ids, std::int64_t before_ms) override {
    auto done = Database::forget(ids, before_ms);
    forgotten->set_value(ids);
    return done;
  }
  std::shared_ptr<std::promise<std::vector<std::string>>> forgotten =
      std::make_shared<std::promise<std::vector<std::string>>>();
};

}  // namespace

TEST_CASE("a producer removes old rows of an attached database by itself") {
  Scene s;
  s.write("decided");
  s.write("parked");
  ServingBroker broker;
  broker.set_state("decided", TransactionState::kCommitted);
  broker.set_state("parked", TransactionState::kParked);
  WatchedDatabase watched(s.db);
  auto producer = Producer::connect({.broker = broker.address(), .group = "orders"}).value();
  producer.attach(watched).value();
  auto forgotten = watched.forgotten->get_future();
  REQUIRE(forgotten.wait_for(20s) == std::future_status::ready);
  CHECK(forgotten.get() == std::vector<std::string>{"decided"});
  CHECK_FALSE(s.has("decided"));
  CHECK(s.has("parked"));
}
