#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <functional>
#include <future>
#include <limits>
#include <tally/sqlite.hpp>
#include <thread>

#include "protocol/base/clock.h"
#include "tests/support/temporary_folder.h"

using tally::Decision;
using tally::ErrorCode;
using tally::LocalOutcome;
using tally::LocalTransaction;
using tally::sqlite::Database;
using tally::sqlite::OpenOptions;
using tally::sqlite::Transaction;
using tally::testing::TemporaryFolder;

namespace {

constexpr std::int64_t kFar = std::numeric_limits<std::int64_t>::max();

tally::Handle half(std::uint64_t lsn) {
  tally::Handle handle;
  handle.log.bytes[0] = 7;
  handle.lsn = tally::Lsn(lsn);
  handle.time_ms = 1'000;
  return handle;
}

tally::BarrierQuery before(std::int64_t before_ms) {
  return {.log = half(1).log, .before_ms = before_ms, .limit = 10};
}

std::vector<std::string> ids(const std::vector<tally::BarrierRow>& rows) {
  std::vector<std::string> found;
  for (const auto& row : rows) found.push_back(row.transaction);
  return found;
}

Database open_orders(const TemporaryFolder& folder, OpenOptions options = {}) {
  auto db = Database::open(folder.file("orders.db"), options).value();
  db.execute("create table if not exists orders (id integer primary key)").value();
  return db;
}

tally::Result<Decision> insert_order(LocalTransaction& open) {
  static_cast<Transaction&>(open).execute("insert into orders values (42)");
  return Decision::kCommit;
}

std::int64_t orders(Database& db) {
  return db.query("select count(*) from orders").value().front().integer(0);
}

/// Makes writes of this process fail beyond a size of a file, as a full disk would.
class FileSizeLimit {
 public:
  FileSizeLimit() {
    std::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
  }
  ~FileSizeLimit() { lift(); }
  void set(const std::string& file, std::uintmax_t more_bytes) const {
    rlimit limit = before_;
    limit.rlim_cur = std::filesystem::file_size(file) + more_bytes;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  void lift() const { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

/// Runs `step` in a child that dies by SIGKILL at its end, or earlier by itself.
void in_killed_child(const std::function<void()>& step) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    step();
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
}

}  // namespace

TEST_CASE("a check after the local commit says commit") {
  const TemporaryFolder folder;
  auto db = open_orders(folder);
  CHECK(db.run("tx", half(1), kFar, insert_order).kind == LocalOutcome::Kind::kCommitted);
  CHECK(db.check("tx", half(1)).decision == Decision::kCommit);
  CHECK(db.check("tx", half(1)).decision == Decision::kCommit);
}

TEST_CASE("a check before the local transaction says rollback, and shuts it out for ever") {
  const TemporaryFolder folder;
  auto db = open_orders(folder);
  CHECK(db.check("tx", half(1)).decision == Decision::kRollback);
  const auto late = db.run("tx", half(1), kFar, insert_order);
  CHECK(late.kind == LocalOutcome::Kind::kRolledBack);
  REQUIRE(late.cause.has_value());
  CHECK(late.cause->code == ErrorCode::kTransactionEnded);
  CHECK(orders(db) == 0);
  CHECK(db.check("tx", half(1)).decision == Decision::kRollback);
}

TEST_CASE("a transaction that still runs makes the check say unknown") {
  const TemporaryFolder folder;
  auto db = open_orders(folder, {.check_busy = std::chrono::milliseconds(20)});
  // Another instance of the service, with a connection pool and turns of its own.
  auto other = open_orders(folder, {.check_busy = std::chrono::milliseconds(20)});
  std::promise<void> inserted;
  std::promise<void> go_on;
  auto outcome = std::async(std::launch::async, [&] {
    return db.run("tx", half(1), kFar, [&](LocalTransaction& open) {
      auto wanted = insert_order(open);
      inserted.set_value();
      go_on.get_future().wait();
      return wanted;
    });
  });
  inserted.get_future().wait();
  const auto same_process = db.check("tx", half(1));
  const auto other_process = other.check("tx", half(1));
  go_on.set_value();
  CHECK(outcome.get().kind == LocalOutcome::Kind::kCommitted);
  CHECK(same_process.decision == Decision::kUnknown);
  CHECK(other_process.decision == Decision::kUnknown);
  CHECK_FALSE(other_process.reason.empty());
  CHECK(db.check("tx", half(1)).decision == Decision::kCommit);
}

TEST_CASE("of a check and a local transaction at the same moment exactly one wins") {
  const TemporaryFolder folder;
  auto db = open_orders(folder);
  auto other = open_orders(folder);
  for (std::uint64_t round = 0; round < 50; ++round) {
    const std::string id = "tx" + std::to_string(round);
    db.execute("delete from orders").value();
    auto outcome =
        std::async(std::launch::async, [&] { return db.run(id, half(round), kFar, insert_order); });
    const auto verdict = other.check(id, half(round)).decision;
    const bool committed = outcome.get().kind == LocalOutcome::Kind::kCommitted;
    CHECK(orders(db) == (committed ? 1 : 0));
    if (verdict != Decision::kUnknown) CHECK((verdict == Decision::kCommit) == committed);
    CHECK((db.check(id, half(round)).decision == Decision::kCommit) == committed);
  }
}

TEST_CASE("the same id again is not run a second time") {
  const TemporaryFolder folder;
  auto db = open_orders(folder);
  REQUIRE(db.run("tx", half(1), kFar, insert_order).kind == LocalOutcome::Kind::kCommitted);
  const auto same = db.run("tx", half(1), kFar, insert_order);
  CHECK(same.kind == LocalOutcome::Kind::kAlreadyCommitted);
  CHECK_FALSE(same.other_half);
  const auto other = db.run("tx", half(2), kFar, insert_order);
  CHECK(other.kind == LocalOutcome::Kind::kAlreadyCommitted);
  CHECK(other.other_half);
  CHECK(orders(db) == 1);
  // The second half can never be committed here.
  CHECK(db.check("tx", half(2)).decision == Decision::kRollback);
  CHECK(db.check("tx", half(1)).decision == Decision::kCommit);
}

TEST_CASE("after the deadline nothing new begins, and old outcomes are still told") {
  const TemporaryFolder folder;
  auto db = open_orders(folder);
  REQUIRE(db.run("old", half(1), kFar, insert_order).kind == LocalOutcome::Kind::kCommitted);
  const std::int64_t now = tally::system_clock().wall_ms();
  const auto late = db.run("new", half(2), now - 1, insert_order);
  CHECK(late.kind == LocalOutcome::Kind::kRolledBack);
  REQUIRE(late.cause.has_value());
  CHECK(late.cause->code == ErrorCode::kDeadlineExceeded);
  CHECK(db.run("old", half(1), now - 1, insert_order).kind ==
        LocalOutcome::Kind::kAlreadyCommitted);
  db.execute("delete from orders").value();
  CHECK(db.run("new", half(2), now + 60'000, insert_order).kind == LocalOutcome::Kind::kCommitted);
}

TEST_CASE("a transaction id may be any bytes") {
  const TemporaryFolder folder;
  auto db = open_orders(folder);
  const std::string id("\0\xFF'\0x", 5);
  REQUIRE(db.run(id, half(1), kFar, insert_order).kind == LocalOutcome::Kind::kCommitted);
  CHECK(db.check(id, half(1)).decision == Decision::kCommit);
  CHECK(db.check(id.substr(0, 1), half(1)).decision == Decision::kRollback);
  CHECK(db.barrier_rows(before(kFar)).value().size() == 2);
}

TEST_CASE("a commit that fails is resolved before it is answered") {
  const TemporaryFolder folder;
  auto db = open_orders(folder);
  const FileSizeLimit limit;
  const auto outcome = db.run("tx", half(1), kFar, [&](LocalTransaction& open) {
    auto& tx = static_cast<Transaction&>(open);
    tx.execute("create table large as select zeroblob(1000000)");
    // Room for a tombstone, not for this transaction.
    limit.set(folder.file("orders.db-wal"), 100'000);
    return tally::Result<Decision>(Decision::kCommit);
  });
  limit.lift();
  CHECK(outcome.kind == LocalOutcome::Kind::kRolledBack);
  REQUIRE(outcome.cause.has_value());
  CHECK(outcome.cause->message == "COMMIT failed; nothing was changed");
  CHECK(db.check("tx", half(1)).reason == "tombstone found");
}

TEST_CASE("a commit that fails is unknown while its outcome cannot be settled") {
  const TemporaryFolder folder;
  auto db = open_orders(folder);
  const FileSizeLimit limit;
  const auto outcome = db.run("tx", half(1), kFar, [&](LocalTransaction& open) {
    auto wanted = insert_order(open);
    limit.set(folder.file("orders.db-wal"), 0);
    return wanted;
  });
  limit.lift();
  CHECK(outcome.kind == LocalOutcome::Kind::kUnknown);
  REQUIRE(outcome.cause.has_value());
  CHECK(outcome.cause->code == ErrorCode::kDatabaseOutcomeUnknown);
  CHECK(db.check("tx", half(1)).decision == Decision::kRollback);
  CHECK(orders(db) == 0);
}

TEST_CASE("a producer killed inside its local transaction is rolled back by the check") {
  const TemporaryFolder folder;
  open_orders(folder);
  in_killed_child([&] {
    auto db = open_orders(folder);
    static_cast<void>(db.run("tx", half(1), kFar, [](LocalTransaction& open) {
      auto wanted = insert_order(open);
      ::kill(::getpid(), SIGKILL);
      return wanted;
    }));
  });
  auto db = open_orders(folder);
  CHECK(db.check("tx", half(1)).decision == Decision::kRollback);
  CHECK(orders(db) == 0);
}

TEST_CASE("a producer killed after its local commit is committed by the check") {
  const TemporaryFolder folder;
  open_orders(folder);
  in_killed_child([&] {
    auto db = open_orders(folder);
    static_cast<void>(db.run("tx", half(1), kFar, insert_order));
  });
  auto db = open_orders(folder);
  CHECK(db.check("tx", half(1)).decision == Decision::kCommit);
  CHECK(orders(db) == 1);
}

TEST_CASE("a checker killed after its tombstone has decided") {
  const TemporaryFolder folder;
  open_orders(folder);
  in_killed_child([&] { static_cast<void>(open_orders(folder).check("tx", half(1))); });
  auto db = open_orders(folder);
  CHECK(db.run("tx", half(1), kFar, insert_order).kind == LocalOutcome::Kind::kRolledBack);
  CHECK(orders(db) == 0);
}

TEST_CASE("forgotten rows are gone, and only old ones are candidates") {
  const TemporaryFolder folder;
  auto db = open_orders(folder);
  REQUIRE(db.run("tx", half(1), kFar, insert_order).kind == LocalOutcome::Kind::kCommitted);
  const std::int64_t now = tally::system_clock().wall_ms();
  CHECK(db.barrier_rows(before(now - 60'000)).value().empty());
  CHECK(ids(db.barrier_rows(before(now + 60'000)).value()) == std::vector<std::string>{"tx"});
  REQUIRE(db.forget({"tx"}, now - 60'000).has_value());
  CHECK(db.barrier_rows(before(kFar)).value().size() == 1);
  REQUIRE(db.forget({"tx", "unknown"}, now + 60'000).has_value());
  CHECK(db.barrier_rows(before(kFar)).value().empty());
}

TEST_CASE("barrier rows come in pages by time and id, those of one log alone") {
  const TemporaryFolder folder;
  auto db = open_orders(folder);
  tally::Handle elsewhere = half(9);
  elsewhere.log.bytes[0] = 8;
  for (const char* id : {"c", "a", "d", "b"}) {
    REQUIRE(db.check(id, half(1)).decision == Decision::kRollback);
  }
  REQUIRE(db.check("other log's", elsewhere).decision == Decision::kRollback);
  db.execute("update tally_barrier set written_at_ms = 1000").value();
  db.execute("update tally_barrier set written_at_ms = 500 where transaction_id = ?",
             tally::sqlite::Blob{"d"})
      .value();
  tally::BarrierQuery query = before(1'001);
  query.limit = 2;
  const auto first = db.barrier_rows(query).value();
  CHECK(ids(first) == std::vector<std::string>{"d", "a"});
  CHECK(first.front().written_at_ms == 500);
  CHECK(first.front().age_ms > first.back().age_ms);
  query.after_ms = first.back().written_at_ms;
  query.after = first.back().transaction;
  CHECK(ids(db.barrier_rows(query).value()) == std::vector<std::string>{"b", "c"});
  query.before_ms = 1'000;
  CHECK(db.barrier_rows(query).value().empty());
}
