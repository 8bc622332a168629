#include <catch2/catch.hpp>
#include <future>
#include <tally/producer.hpp>
#include <tally/sqlite.hpp>
#include <thread>

#include "protocol/base/clock.h"
#include "tests/producer/serving_broker.h"
#include "tests/support/temporary_folder.h"

using namespace tally;
using namespace std::chrono_literals;
using tally::testing::ServingBroker;
using tally::testing::TemporaryFolder;

namespace {

/// A service with a database, a producer, and a broker in the hands of the test.
struct Service {
  explicit Service(ServingBroker::Script script = {}) : broker(std::move(script)) {
    db.execute("create table orders (id integer primary key)").value();
    producer.attach(db).value();
  }
  Result<TransactionResult> place(int id, TransactionOptions options = {}) {
    return producer.in_transaction(
        db, Message{.topic = "order.created", .key = std::to_string(id)},
        [&](sqlite::Transaction& tx) {
          tx.execute("insert into orders values (?)", id);
          return Decision::kCommit;
        },
        std::move(options));
  }
  std::int64_t orders() {
    return db.query("select count(*) from orders").value().front().integer(0);
  }
  EndRequest end() { return broker.wait_for<EndRequest>().front(); }

  TemporaryFolder folder{};
  ServingBroker broker;
  sqlite::Database db = sqlite::Database::open(folder.file("orders.db")).value();
  std::promise<std::string> alarm{};
  Producer producer = Producer::connect({.broker = broker.address(),
                                         .group = "orders",
                                         .log =
                                             [this](LogLevel level, std::string_view text) {
                                               if (level == LogLevel::kError) {
                                                 alarm.set_value(std::string(text));
                                               }
                                             }})
                          .value();
};

template <typename T>
ServingBroker::Script first(testing::Reaction reaction) {
  return [reaction, done = false](const Request& request) mutable -> testing::Reaction {
    if (done || !std::holds_alternative<T>(request)) return {};
    done = true;
    return reaction;
  };
}

}  // namespace

TEST_CASE("a transaction commits both sides") {
  Service service;
  const auto result = service.place(42).value();
  CHECK(result.outcome == TransactionOutcome::kCommitted);
  CHECK_FALSE(result.replayed);
  CHECK(service.orders() == 1);
  CHECK(service.producer.wait(result.id, 20s).value().outcome == TransactionOutcome::kCommitted);
  const auto prepare = service.broker.wait_for<PrepareRequest>().front();
  CHECK(prepare.fresh);
  CHECK(prepare.group == "orders");
  CHECK(prepare.store == service.db.store_id());
  CHECK(prepare.transaction == result.id);
  const auto end = service.end();
  CHECK(end.decision == Decision::kCommit);
  CHECK(end.handle.lsn == Lsn(1));
  CHECK(end.messages == 1);
}

TEST_CASE("several messages to several topics are one transaction") {
  Service service;
  const auto result =
      service.producer
          .in_transaction(service.db, std::vector<Message>{{.topic = "a"}, {.topic = "b"}},
                          [](sqlite::Transaction&) { return Decision::kCommit; })
          .value();
  CHECK(result.outcome == TransactionOutcome::kCommitted);
  const auto halves = service.broker.wait_for<PrepareRequest>(2);
  CHECK(halves[0].topic == "a");
  CHECK(halves[1].topic == "b");
  CHECK(halves[0].transaction == halves[1].transaction);
  CHECK(service.end().messages == 2);
}

TEST_CASE("too many messages, or none, are refused before anything is stored") {
  Service service;
  const auto work = [](sqlite::Transaction&) { return Decision::kCommit; };
  const auto many = [&](std::size_t count, std::size_t bytes) {
    return service.producer
        .in_transaction(
            service.db,
            std::vector<Message>(count, {.topic = "a", .body = std::string(bytes, 'x')}), work)
        .error()
        .code;
  };
  CHECK(many(0, 0) == ErrorCode::kInvalidArgument);
  CHECK(many(65, 0) == ErrorCode::kTransactionTooLarge);
  CHECK(many(5, 4u << 20) == ErrorCode::kTransactionTooLarge);
  CHECK(service.broker.count<PrepareRequest>() == 0);
}

TEST_CASE("work that fails rolls back both sides") {
  Service service;
  const auto result = service.producer
                          .in_transaction(service.db, Message{.topic = "order.created"},
                                          [](sqlite::Transaction& tx) {
                                            tx.execute("insert into orders values (1)");
                                            tx.execute("insert into nowhere values (1)");
                                            return Decision::kCommit;
                                          })
                          .value();
  CHECK(result.outcome == TransactionOutcome::kRolledBack);
  REQUIRE(result.cause.has_value());
  CHECK(result.cause->code == ErrorCode::kDatabase);
  CHECK(service.orders() == 0);
  CHECK(service.end().decision == Decision::kRollback);
}

TEST_CASE("a half that is refused runs no local work") {
  Service service(first<PrepareRequest>(Error(ErrorCode::kTopicNotFound, "no such topic")));
  CHECK(service.place(42).error().code == ErrorCode::kTopicNotFound);
  CHECK(service.orders() == 0);
  CHECK(service.place(43).has_value());
}

TEST_CASE("a database must be attached before it takes part") {
  ServingBroker broker;
  const TemporaryFolder folder;
  auto db = sqlite::Database::open(folder.file("orders.db")).value();
  auto producer = Producer::connect({.broker = broker.address(), .group = "orders"}).value();
  const auto work = [](sqlite::Transaction&) { return Decision::kCommit; };
  CHECK(producer.in_transaction(db, Message{.topic = "a"}, work).error().code ==
        ErrorCode::kInvalidArgument);
  CHECK(producer.in_transaction({{.topic = "a"}}).error().code == ErrorCode::kInvalidArgument);
}

namespace {

class ForgetfulDatabase : public sqlite::Database {
 public:
  explicit ForgetfulDatabase(sqlite::Database db) : sqlite::Database(std::move(db)) {}
  Result<void> check_durability() override {
    return Error(ErrorCode::kDatabaseNotDurable, "commits are not synced");
  }
};

}  // namespace

TEST_CASE("a database that is not durable is refused, by attach and by its transactions") {
  ServingBroker broker;
  const TemporaryFolder folder;
  ForgetfulDatabase db(sqlite::Database::open(folder.file("orders.db")).value());
  auto producer = Producer::connect({.broker = broker.address(), .group = "orders"}).value();
  CHECK(producer.attach(db).error().code == ErrorCode::kDatabaseNotDurable);
  const auto work = [](sqlite::Transaction&) { return Decision::kCommit; };
  CHECK(producer.in_transaction(db, Message{.topic = "a"}, work).error().code ==
        ErrorCode::kDatabaseNotDurable);
  CHECK(broker.count<PrepareRequest>() == 0);
}

TEST_CASE("a half whose answer was lost is prepared again, and the work runs once") {
  Service service(first<PrepareRequest>(testing::HangUpAfter{}));
  CHECK(service.place(42).value().outcome == TransactionOutcome::kCommitted);
  const auto halves = service.broker.wait_for<PrepareRequest>(2);
  CHECK(halves[0].fresh);
  CHECK_FALSE(halves[1].fresh);
  CHECK(halves[0].transaction == halves[1].transaction);
  CHECK(service.orders() == 1);
}

TEST_CASE("an end that was lost is repeated in the background") {
  const testing::Reaction reaction = GENERATE(
      testing::Reaction(testing::HangUpBefore{}), testing::Reaction(testing::HangUpAfter{}),
      testing::Reaction(Error(ErrorCode::kOverloaded, "busy")));
  Service service(first<EndRequest>(reaction));
  const auto result = service.place(42).value();
  CHECK(service.producer.wait(result.id, 20s).value().outcome == TransactionOutcome::kCommitted);
  const auto ends = service.broker.wait_for<EndRequest>(2);
  CHECK(ends[0].handle == ends[1].handle);
  CHECK(ends[1].decision == Decision::kCommit);
}

TEST_CASE("stop waits for the ends of transactions") {
  Service service(first<EndRequest>(testing::HangUpBefore{}));
  CHECK(service.place(42).has_value());
  CHECK(service.producer.stop(20s).has_value());
  CHECK(service.broker.count<EndRequest>() == 2);
}

TEST_CASE("a decision against the local commit raises an alarm") {
  Service service(first<EndRequest>(Error(ErrorCode::kConflict, "rolled back")));
  CHECK(service.place(42).has_value());
  auto alarm = service.alarm.get_future();
  REQUIRE(alarm.wait_for(20s) == std::future_status::ready);
  CHECK(alarm.get().find("ALARM") == 0);
}

TEST_CASE("a check of a transaction whose producer died is answered by the barrier") {
  Service service;
  Handle handle;
  handle.lsn = Lsn(50);
  REQUIRE(service.db
              .run("committed", handle, std::numeric_limits<std::int64_t>::max(),
                   [](LocalTransaction&) { return Result<Decision>(Decision::kCommit); })
              .kind == LocalOutcome::Kind::kCommitted);
  service.broker.wait_for<RegisterCheckerRequest>();
  CheckRequest check{.transaction = "committed",
                     .group = "orders",
                     .store = service.db.store_id(),
                     .handle = handle,
                     .challenge = 5,
                     .expires_in_ms = 1'000};
  service.broker.ask_check(check);
  CHECK(service.broker.wait_for<AnswerCheckRequest>().front().decision == Decision::kCommit);
  check.transaction = "never seen";
  check.challenge = 6;
  service.broker.ask_check(check);
  const auto answer = service.broker.wait_for<AnswerCheckRequest>(2).back();
  CHECK(answer.decision == Decision::kRollback);
  CHECK(answer.challenge == 6);
  CHECK(answer.transaction == "never seen");
}

TEST_CASE("a caller's id runs the work once and replays the outcome") {
  Service service;
  const TransactionOptions options{.id = "order-42"};
  const auto once = service.place(42, options).value();
  CHECK(once.id == "order-42");
  CHECK_FALSE(once.replayed);
  CHECK_FALSE(service.broker.wait_for<PrepareRequest>().front().fresh);
  REQUIRE(service.producer.wait("order-42", 20s).has_value());
  const auto again = service.place(42, options).value();
  CHECK(again.replayed);
  CHECK(again.outcome == TransactionOutcome::kCommitted);
  CHECK(service.orders() == 1);
}

TEST_CASE("a caller's id whose end is still on its way is replayed from the barrier") {
  Service pending([](const Request& request) {
    return std::holds_alternative<EndRequest>(request)
               ? testing::Reaction(Error(ErrorCode::kOverloaded, "busy"))
               : testing::Reaction();
  });
  const TransactionOptions options{.id = "order-42"};
  REQUIRE_FALSE(pending.place(42, options).value().replayed);
  const auto again = pending.place(42, options).value();
  CHECK(again.replayed);
  CHECK(again.outcome == TransactionOutcome::kCommitted);
  CHECK(pending.orders() == 1);
  static_cast<void>(pending.producer.stop(1ms));
}

TEST_CASE("a caller's id that rolls back leaves a tombstone before the broker hears of it") {
  Service service;
  const auto result = service.producer
                          .in_transaction(service.db, Message{.topic = "order.created"},
                                          [](sqlite::Transaction&) { return Decision::kRollback; },
                                          {.id = "order-42"})
                          .value();
  CHECK(result.outcome == TransactionOutcome::kRolledBack);
  CHECK(service.end().decision == Decision::kRollback);
  CHECK(service.db.query("select letter from tally_barrier").value().front().text(0) == "R");
}

TEST_CASE("many threads run transactions through one producer") {
  Service service;
  std::vector<std::thread> threads;
  std::atomic<int> committed = 0;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        const auto result = service.place(t * 100 + i);
        if (result && result->outcome == TransactionOutcome::kCommitted) ++committed;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(committed == 200);
  CHECK(service.orders() == 200);
  CHECK(service.producer.stop(20s).has_value());
  CHECK(service.broker.count<EndRequest>() == 200);
}

namespace {

class FileListener : public TransactionListener {
 public:
  Decision execute(const Call& call) override {
    CHECK(call.messages.size() == 1);
    CHECK(call.deadline_ms > 0);
    const auto* decision = std::any_cast<Decision>(&call.argument);
    if (decision == nullptr) throw std::runtime_error("lost the file");
    return *decision;
  }
  Decision check(std::string_view) override {
    ++checks;
    gate.get_future().wait();
    return Decision::kCommit;
  }
  std::atomic<int> checks = 0;
  std::promise<void> gate;
};

}  // namespace

TEST_CASE("a listener takes the place of a database") {
  ServingBroker broker;
  auto listener = std::make_shared<FileListener>();
  auto producer =
      Producer::connect({.broker = broker.address(), .group = "files", .listener = listener})
          .value();
  const std::vector<Message> messages{{.topic = "file.written"}};
  CHECK(producer.in_transaction(messages, Decision::kCommit).value().outcome ==
        TransactionOutcome::kCommitted);
  CHECK(producer.in_transaction(messages, Decision::kRollback).value().outcome ==
        TransactionOutcome::kRolledBack);
  CHECK(broker.wait_for<PrepareRequest>().front().store.is_zero());
  CHECK(broker.wait_for<RegisterCheckerRequest>().front().stores == std::vector{StoreId{}});

  const auto doubtful = producer.in_transaction(messages).value();
  CHECK(doubtful.outcome == TransactionOutcome::kInDoubt);
  REQUIRE(doubtful.cause.has_value());
  CHECK(doubtful.cause->message == "execute() threw: lost the file");
  // While the check hangs, the producer works on.
  CHECK(producer.send({.topic = "other"}).has_value());
  CHECK(producer.wait(doubtful.id, 1ms).error().code == ErrorCode::kTimeout);
  listener->gate.set_value();
  CHECK(producer.wait(doubtful.id, 20s).value().outcome == TransactionOutcome::kCommitted);
  CHECK(listener->checks == 1);
}

TEST_CASE("a check that hangs does not hang the end of a producer") {
  ServingBroker broker;
  auto listener = std::make_shared<FileListener>();
  {
    auto producer =
        Producer::connect({.broker = broker.address(), .group = "files", .listener = listener})
            .value();
    CHECK(producer.in_transaction({{.topic = "file.written"}}).value().outcome ==
          TransactionOutcome::kInDoubt);
    CHECK(producer.stop(20ms).error().code == ErrorCode::kTimeout);
  }
  listener->gate.set_value();
}

TEST_CASE(
    "local work does not begin after the lifetime, even when the database's clock was set back") {
  /// It finds every deadline far ahead.
  struct SetBack : sqlite::Database {
    explicit SetBack(const sqlite::Database& db) : sqlite::Database(db) {}
    LocalOutcome run(std::string_view id, const Handle& handle, std::int64_t deadline_ms,
                     const LocalWork& work) override {
      return sqlite::Database::run(id, handle, deadline_ms + 86'400'000, work);
    }
  };
  Service s([](const Request& request) -> testing::Reaction {
    const std::int64_t begun_ms = system_clock().boot_ms();
    while (std::holds_alternative<PrepareRequest>(request) &&
           system_clock().boot_ms() < begun_ms + 3) {
      std::this_thread::yield();
    }
    return {};
  });
  SetBack db(s.db);
  const auto result = s.producer.in_transaction(db, Message{.topic = "order.created"},
                                                [](sqlite::Transaction& tx) {
                                                  tx.execute("insert into orders values (1)");
                                                  return Decision::kCommit;
                                                },
                                                {.lifetime = 1ms});
  REQUIRE(result);
  CHECK(result->outcome == TransactionOutcome::kRolledBack);
  CHECK(s.orders() == 0);
  CHECK(s.end().decision == Decision::kRollback);
}
