#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <tally/producer.hpp>
#include <tally/sqlite.hpp>

#include "tests/producer/serving_broker.h"
#include "tests/support/temporary_folder.h"

using namespace tally;

namespace {

/// Runs the service until it kills itself.
void run_until_killed(const std::string& broker, const std::string& file, const std::string& step) {
  const std::string program =
      (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "dying_service").string();
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::execl(program.c_str(), "dying_service", broker.c_str(), file.c_str(), step.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  REQUIRE(WTERMSIG(status) == SIGKILL);
}

}  // namespace

TEST_CASE("whatever step a producer is killed at, the check-back agrees with its database") {
  const std::string step =
      GENERATE(std::string("before insert"), std::string("before local commit"),
               std::string("after local commit"), std::string("after end"));
  CAPTURE(step);
  const tally::testing::TemporaryFolder folder;
  const std::string file = folder.file("orders.db");
  auto db = sqlite::Database::open(file).value();
  db.execute("create table orders (id integer primary key)").value();
  tally::testing::ServingBroker broker;
  run_until_killed(broker.address(), file, step);

  const auto half = broker.wait_for<PrepareRequest>().front();
  CHECK(broker.count<EndRequest>() == (step == "after end" ? 1 : 0));
  // Another instance of the service takes over.
  auto producer = Producer::connect({.broker = broker.address(), .group = "orders"}).value();
  producer.attach(db).value();
  broker.wait_for<RegisterCheckerRequest>(2);
  broker.ask_check({.transaction = half.transaction,
                    .group = "orders",
                    .store = half.store,
                    .handle = broker.handle_of(half.transaction),
                    .challenge = 5,
                    .expires_in_ms = 60'000});
  const bool committed = step == "after local commit" || step == "after end";
  CHECK(broker.wait_for<AnswerCheckRequest>().front().decision ==
        (committed ? Decision::kCommit : Decision::kRollback));
  CHECK(db.query("select count(*) from orders").value().front().integer(0) == (committed ? 1 : 0));
}
