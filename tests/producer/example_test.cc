#include <array>
#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <tally/sqlite.hpp>

#include "tests/producer/serving_broker.h"
#include "tests/support/temporary_folder.h"

namespace {

struct Ran {
  std::string output{};
  int exit_code = -1;
};

/// Runs an example that stands beside this test's own program.
Ran run_example(const std::string& command_line) {
  const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  const std::string command = (folder / command_line).string() + " 2>&1";
  std::FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  Ran ran;
  std::array<char, 256> line{};
  while (std::fgets(line.data(), line.size(), pipe) != nullptr) ran.output += line.data();
  const int status = ::pclose(pipe);
  ran.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ran;
}

}  // namespace

TEST_CASE("the example places an order once, and says why it does not place it twice") {
  const tally::testing::TemporaryFolder folder;
  tally::testing::ServingBroker broker;
  const std::string file = folder.file("orders.db");
  const std::string command = "place_order " + broker.address() + " " + file + " 42";
  const Ran first = run_example(command);
  CHECK(first.output.find("placed order 42 in transaction ") == 0);
  CHECK(first.exit_code == 0);
  const Ran second = run_example(command);
  CHECK(second.output.find("not placed: DATABASE_ERROR") == 0);
  CHECK(second.exit_code == 1);
  auto db = tally::sqlite::Database::open(file).value();
  CHECK(db.query("select state from orders").value().front().text(0) == "new");
  const auto ends = broker.wait_for<tally::EndRequest>(2);
  CHECK(ends[0].decision == tally::Decision::kCommit);
  CHECK(ends[1].decision == tally::Decision::kRollback);
}
