#include <sqlite3.h>

#include <catch2/catch.hpp>
#include <limits>
#include <stdexcept>
#include <tally/sqlite.hpp>
#include <thread>

#include "tests/support/temporary_folder.h"

using tally::Decision;
using tally::ErrorCode;
using tally::LocalOutcome;
using tally::LocalTransaction;
using tally::Result;
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

tally::MessageUid message(std::uint64_t lsn) { return {half(1).log, tally::Lsn(lsn)}; }

/// Work in the form that users write it.
template <typename Work>
tally::LocalWork with(Work work) {
  return [work](LocalTransaction& open) { return work(static_cast<Transaction&>(open)); };
}

std::int64_t count(Database& db, const std::string& table) {
  return db.query("select count(*) from " + table).value().front().integer(0);
}

}  // namespace

TEST_CASE("values of every kind come back as they were bound") {
  const TemporaryFolder folder;
  auto db = Database::open(folder.file("a.db")).value();
  db.execute("create table t (a, b, c, d, e, f)").value();
  db.execute("insert into t values (?, ?, ?, ?, ?, ?)", -5, 2.5, "text", nullptr,
             tally::sqlite::Blob{std::string_view("\0\1", 2)}, std::optional<int>(9))
      .value();
  const auto rows = db.query("select * from t").value();
  REQUIRE(rows.size() == 1);
  const auto& row = rows.front();
  REQUIRE(row.columns() == 6);
  CHECK(row.integer(0) == -5);
  CHECK(row.real(0) == -5.0);
  CHECK(row.real(1) == 2.5);
  CHECK(row.text(2) == "text");
  CHECK(row.is_null(3));
  CHECK(row.text(4) == std::string_view("\0\1", 2));
  CHECK(row.integer(5) == 9);
  CHECK(row.is_null(6));
  CHECK(row.text(0).empty());
}

TEST_CASE("empty text is not NULL") {
  const TemporaryFolder folder;
  auto db = Database::open(folder.file("a.db")).value();
  const auto rows = db.query("select ? is null, typeof(?)", std::string_view(), "").value();
  CHECK(rows.front().integer(0) == 0);
  CHECK(rows.front().text(1) == "text");
}

TEST_CASE("a number above 63 bits is refused, not bent") {
  const TemporaryFolder folder;
  auto db = Database::open(folder.file("a.db")).value();
  CHECK(db.query("select ?", std::numeric_limits<std::uint64_t>::max()).error().code ==
        ErrorCode::kOutOfRange);
}

TEST_CASE("a call takes one statement with as many values as parameters") {
  const TemporaryFolder folder;
  auto db = Database::open(folder.file("a.db")).value();
  CHECK(db.execute("select 1; select 2").error().code == ErrorCode::kInvalidArgument);
  CHECK(db.execute("").error().code == ErrorCode::kInvalidArgument);
  CHECK(db.execute("select ?").error().code == ErrorCode::kInvalidArgument);
  CHECK(db.execute("select 1", 2).error().code == ErrorCode::kInvalidArgument);
  CHECK(db.execute("select 1; ").has_value());
}

TEST_CASE("a store id is random, and stays with the file") {
  const TemporaryFolder folder;
  const auto first = Database::open(folder.file("a.db")).value();
  const auto again = Database::open(folder.file("a.db")).value();
  const auto other = Database::open(folder.file("b.db")).value();
  CHECK_FALSE(first.store_id().is_zero());
  CHECK(first.store_id() == again.store_id());
  CHECK(first.store_id() != other.store_id());
}

TEST_CASE("threads that open a new file at once agree on its store id") {
  const TemporaryFolder folder;
  std::array<tally::StoreId, 4> ids;
  std::vector<std::thread> threads;
  for (auto& id : ids) {
    threads.emplace_back([&] {
      if (auto db = Database::open(folder.file("a.db"))) id = db->store_id();
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK_FALSE(ids[0].is_zero());
  for (const auto& id : ids) CHECK(id == ids[0]);
}

TEST_CASE("a database in memory is refused: it is not durable") {
  CHECK(Database::open(":memory:").error().code == ErrorCode::kDatabaseNotDurable);
}

TEST_CASE("a file that is no database, and one of a newer version, are refused") {
  const TemporaryFolder folder;
  CHECK(Database::open(folder.file("no/such/folder.db")).error().code == ErrorCode::kDatabase);
  auto db = Database::open(folder.file("a.db")).value();
  db.execute("update tally_store set version = 2").value();
  CHECK(Database::open(folder.file("a.db")).error().code == ErrorCode::kDataFormat);
}

TEST_CASE("durability cannot be switched off by a statement") {
  const TemporaryFolder folder;
  auto db = Database::open(folder.file("a.db")).value();
  CHECK_FALSE(db.execute("pragma synchronous = off").has_value());
  CHECK_FALSE(db.execute("pragma journal_mode = memory").has_value());
  CHECK(db.query("pragma synchronous").value().front().integer(0) == 2);
  CHECK(db.check_durability().has_value());
}

TEST_CASE("the first error sticks and forces rollback") {
  const TemporaryFolder folder;
  auto db = Database::open(folder.file("a.db")).value();
  db.execute("create table t (a integer primary key)").value();
  const auto outcome = db.run("tx", half(1), kFar, with([](Transaction& tx) {
                                tx.execute("insert into t values (1)");
                                tx.execute("insert into nowhere values (1)");
                                tx.execute("insert into t values (2)");
                                CHECK(tx.query("select 1").empty());
                                CHECK(tx.first_error().has_value());
                                return Decision::kCommit;
                              }));
  CHECK(outcome.kind == LocalOutcome::Kind::kRolledBack);
  REQUIRE(outcome.cause.has_value());
  CHECK(outcome.cause->code == ErrorCode::kDatabase);
  CHECK(count(db, "t") == 0);
  CHECK(count(db, "tally_barrier") == 0);
}

TEST_CASE("the work cannot end its transaction by a statement") {
  const TemporaryFolder folder;
  auto db = Database::open(folder.file("a.db")).value();
  db.execute("create table t (a integer primary key)").value();
  db.execute("insert into t values (1)").value();
  const std::string statement =
      GENERATE(std::string("commit"), std::string("rollback"), std::string("begin"),
               std::string("insert or rollback into t values (1)"));
  const auto outcome = db.run("tx", half(1), kFar, with([&](Transaction& tx) {
                                tx.execute("insert into t values (2)");
                                tx.execute(statement);
                                tx.execute("insert into t values (3)");
                                return Decision::kCommit;
                              }));
  CHECK(outcome.kind == LocalOutcome::Kind::kRolledBack);
  CHECK(count(db, "t") == 1);
  CHECK(count(db, "tally_barrier") == 0);
}

TEST_CASE("rollback, an error and an exception of the work leave nothing behind") {
  const TemporaryFolder folder;
  auto db = Database::open(folder.file("a.db")).value();
  db.execute("create table t (a)").value();
  const auto fails = [&](auto end) {
    return db.run("tx", half(1), kFar, with([&](Transaction& tx) -> Result<Decision> {
                    tx.execute("insert into t values (1)");
                    return end();
                  }));
  };
  const auto refused = fails([]() -> Result<Decision> { return Decision::kRollback; });
  CHECK(refused.kind == LocalOutcome::Kind::kRolledBack);
  CHECK_FALSE(refused.cause.has_value());
  CHECK(fails([]() -> Result<Decision> {
          return tally::Error(ErrorCode::kInvalidArgument, "no");
        }).cause->code == ErrorCode::kInvalidArgument);
  CHECK(fails([]() -> Result<Decision> { throw std::runtime_error("broken"); }).cause->message ==
        "broken");
  CHECK(fails([]() -> Result<Decision> { throw 5; }).cause->code == ErrorCode::kHandlerFailed);
  CHECK(count(db, "t") == 0);
  CHECK(count(db, "tally_barrier") == 0);
}

TEST_CASE("a message is handled once per group, however often it is delivered") {
  const TemporaryFolder folder;
  auto db = Database::open(folder.file("a.db")).value();
  db.execute("create table t (a)").value();
  const auto work = with([](Transaction& tx) {
    tx.execute("insert into t values (1)");
    return Decision::kCommit;
  });
  CHECK(db.run_once("points", message(8), work).value());
  CHECK_FALSE(db.run_once("points", message(8), work).value());
  CHECK(db.run_once("mail", message(8), work).value());
  CHECK(db.run_once("points", message(9), work).value());
  CHECK(count(db, "t") == 3);
}

TEST_CASE("a handler that fails leaves no inbox row, so the next delivery works") {
  const TemporaryFolder folder;
  auto db = Database::open(folder.file("a.db")).value();
  const auto refuse = with([](Transaction&) { return Decision::kRollback; });
  const auto raise = with([](Transaction&) -> Decision { throw std::runtime_error("broken"); });
  CHECK(db.run_once("points", message(8), refuse).error().code == ErrorCode::kHandlerFailed);
  CHECK(db.run_once("points", message(8), raise).error().message == "broken");
  CHECK(db.run_once("points", message(8), with([](Transaction&) { return Decision::kCommit; }))
            .value());
}

TEST_CASE("many threads write through one database without a busy error") {
  const TemporaryFolder folder;
  auto db = Database::open(folder.file("a.db")).value();
  db.execute("create table t (a)").value();
  std::atomic<int> committed = 0;
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 8; ++t) {
    threads.emplace_back([&db, &committed, t] {
      for (std::uint64_t i = 0; i < 20; ++i) {
        const auto outcome =
            db.run(std::to_string(t * 100 + i), half(t * 100 + i), kFar, with([](Transaction& tx) {
                     tx.execute("insert into t values (1)");
                     return Decision::kCommit;
                   }));
        if (outcome.kind == LocalOutcome::Kind::kCommitted) ++committed;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(committed == 160);
  CHECK(count(db, "t") == 160);
}
