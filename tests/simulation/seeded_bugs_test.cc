// Each seeded bug is a mistake that some broker shipped: one of the suites here has to notice it. That they complain of
// nothing else is what the other tests show.

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <string>
#include <tally/sqlite.hpp>

#include "protocol/base/check.h"
#include "protocol/base/seeded_bug.h"
#include "tests/simulation/seeds.h"
#include "tests/support/temporary_folder.h"

namespace tally::simulation {
namespace {

constexpr std::uint64_t kSeeds = 200;
constexpr unsigned kHungSeconds = 100;

std::string simulation() {
  const auto failure = first_failure(1, kSeeds);
  return failure ? report(*failure) : "";
}

/// The real barrier, asked about a local transaction that still runs.
std::string sqlite_barrier() {
  const testing::TemporaryFolder folder;
  auto runs = sqlite::Database::open(folder.file("orders.db"), {}).value();
  auto asked = sqlite::Database::open(folder.file("orders.db"),
                                      {.check_busy = std::chrono::milliseconds(10)})
                   .value();
  const Handle handle{.log = {}, .lsn = Lsn(1), .time_ms = 1};
  CheckVerdict verdict;
  const LocalOutcome outcome = runs.run("x", handle, INT64_MAX, [&](LocalTransaction&) {
    verdict = asked.check("x", handle);
    return Result<Decision>(Decision::kCommit);
  });
  const bool contradicts =
      outcome.kind == LocalOutcome::Kind::kCommitted && verdict.decision == Decision::kRollback;
  return contradicts ? "committed, and a check said rollback" : "";
}

struct Bug {
  const char* name;
  std::string (*suite)() = simulation;  ///< what it finds; empty: nothing
};

constexpr Bug kBugs[] = {
    {"no_state_on_end"},
    {"commit_after_rollback_accepted"},
    {"budget_burns_while_nobody_connected"},
    {"client_clock"},
    {"uninvited_answer_accepted"},
    {"decision_only_in_memory"},
    {"half_dropped_by_retention"},
    {"dedup_table_not_durable"},
    {"rollback_for_a_row_not_visible_yet"},
    {"rollback_for_a_row_not_visible_yet", sqlite_barrier},
    {"barrier_row_removed_too_early"},
    {"incomplete_transaction_committed"},
    {"stale_handle_accepted"},
    {"acknowledge_before_sync"},
    {"retried_sync"},
    {"missing_directory_sync"},
    {"retention_by_storage_time"},
    {"settle_answered_before_durable"},
    {"old_attempt_ack_accepted"},
};

/// In a process of its own, which a bug may end.
std::string hunt(const Bug& bug) {
  int ends[2];
  TALLY_CHECK(pipe(ends) == 0);
  std::fflush(stdout);
  const pid_t child = fork();
  TALLY_CHECK(child >= 0);
  if (child == 0) {
    alarm(kHungSeconds);
    seed_bug(bug.name);
    const std::string found = bug.suite();
    const ssize_t written = write(ends[1], found.data(), found.size());
    _exit(written == static_cast<ssize_t>(found.size()) ? 0 : 1);
  }
  close(ends[1]);
  std::string found;
  char buffer[1024];
  for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;) {
    found.append(buffer, static_cast<std::size_t>(got));
  }
  close(ends[0]);
  int status = 0;
  TALLY_CHECK(waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status) && WTERMSIG(status) != SIGALRM)
    return "the broker ended by signal " + std::to_string(WTERMSIG(status));
  return found;
}

}  // namespace

TEST_CASE("each seeded bug is noticed") {
  std::size_t killed = 0;
  for (const Bug& bug : kBugs) {
    const std::string found = hunt(bug);
    std::printf("  %s: %s\n", bug.name, found.empty() ? "NOT FOUND" : found.c_str());
    CAPTURE(bug.name);
    CHECK_FALSE(found.empty());
    killed += !found.empty();
  }
  std::printf("%zu seeded bugs, %zu killed\n", std::size(kBugs), killed);
}

TEST_CASE("a check of a local transaction that still runs contradicts nothing") {
  CHECK(sqlite_barrier().empty());
}

}  // namespace tally::simulation
