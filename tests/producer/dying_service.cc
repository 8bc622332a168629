// A service that kills itself at a step of its transaction: dying_service HOST:PORT DATABASE STEP

#include <unistd.h>

#include <csignal>
#include <string>
#include <tally/producer.hpp>
#include <tally/sqlite.hpp>

namespace {

std::string step_to_die_at;

void pass(const char* step) {
  if (step_to_die_at == step) ::kill(::getpid(), SIGKILL);
}

/// The database of the service, with a place to die between its commit and the END that follows.
class Database : public tally::sqlite::Database {
 public:
  explicit Database(tally::sqlite::Database db) : tally::sqlite::Database(std::move(db)) {}
  tally::LocalOutcome run(std::string_view transaction, const tally::Handle& handle,
                          std::int64_t deadline_ms, const tally::LocalWork& work) override {
    auto outcome = tally::sqlite::Database::run(transaction, handle, deadline_ms, work);
    pass("after local commit");
    return outcome;
  }
};

}  // namespace

int main(int, char** argv) {
  Database db(tally::sqlite::Database::open(argv[2]).value());
  step_to_die_at = argv[3];
  auto producer = tally::Producer::connect({.broker = argv[1], .group = "orders"}).value();
  producer.attach(db).value();
  const auto placed =
      producer.in_transaction(db, {.topic = "order.created"}, [](tally::sqlite::Transaction& tx) {
        pass("before insert");
        tx.execute("insert into orders values (42)");
        pass("before local commit");
        return tally::Decision::kCommit;
      });
  producer.wait(placed.value().id).value();
  pass("after end");
  return 1;
}
