// Bugs that other brokers shipped, put into the store one at a time: the suites must notice each.
// That they complain of nothing else is what test_states shows.

#include <array>
#include <catch2/catch.hpp>
#include <cstdio>

#include "protocol/base/seeded_bug.h"
#include "tests/states/corruption.h"
#include "tests/states/crash_states.h"
#include "tests/states/faults.h"

namespace tally::testing {
namespace {

struct Suite {
  const char* name;
  std::vector<std::string> (*run)();
};

std::vector<std::string> crash_states() { return run_crash_states(0).violations; }

/// Those few that have a real LevelDB.
std::vector<std::string> crash_states_with_leveldb() {
  constexpr int kWorkloads = 4;
  int left = kWorkloads;
  for (std::uint64_t number = short_workloads(); left > 0; ++number) {
    if (make_workload(number).index != Machine::IndexKind::kLevelDb) continue;
    --left;
    auto found = run_crash_states(0, number);
    if (!found.violations.empty()) return std::move(found.violations);
  }
  return {};
}

constexpr std::array kSuites = {
    Suite{"crash states", crash_states},
    Suite{"crash states with LevelDB", crash_states_with_leveldb},
    Suite{"damaged files", [] { return run_corruptions(4'000).violations; }},
    Suite{"file system errors", [] { return run_faults(false).violations; }},
};

struct Bug {
  const char* name;
  const char* suite;  ///< that has to notice it
};

constexpr std::array kBugs = {
    Bug{"acknowledge_before_sync", "crash states"},
    Bug{"truncation_not_persisted", "crash states"},
    Bug{"missing_directory_sync", "crash states"},
    Bug{"index_ahead_of_log", "crash states"},
    Bug{"hole_in_unsynced_index", "crash states with LevelDB"},
    Bug{"checksum_not_bound_to_offset", "damaged files"},
    Bug{"retried_sync", "file system errors"},
    Bug{"warm_cache_trusted", "file system errors"},
};

std::vector<std::string> run_with(const char* bug, std::string_view suite) {
  seed_bug(bug);
  std::vector<std::string> violations;
  for (const Suite& candidate : kSuites) {
    if (candidate.name == suite) violations = candidate.run();
  }
  seed_bug({});
  return violations;
}

TEST_CASE("each seeded bug is noticed") {
  std::size_t killed = 0;
  for (const Bug& bug : kBugs) {
    const auto violations = run_with(bug.name, bug.suite);
    CAPTURE(bug.name, bug.suite);
    CHECK_FALSE(violations.empty());
    if (violations.empty()) continue;
    ++killed;
    std::printf("  %s: %s\n", bug.name, violations.front().c_str());
  }
  std::printf("store: %zu seeded bugs, %s killed\n", kBugs.size(),
              killed == kBugs.size() ? "all" : std::to_string(killed).c_str());
}

}  // namespace
}  // namespace tally::testing
