// How hard each suite tries is set in the environment: TALLY_STATES=1000000 and
// TALLY_CORRUPTIONS=200000; TALLY_WORKLOAD=n repeats one workload of the crash states.

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>

#include "tests/states/corruption.h"
#include "tests/states/crash_states.h"
#include "tests/states/faults.h"

namespace tally::testing {
namespace {

constexpr std::uint64_t kStates = 100'000;
constexpr std::uint64_t kCorruptions = 20'000;

std::optional<std::uint64_t> number_in_environment(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  return std::strtoull(text, nullptr, 10);
}

void check_none(const std::vector<std::string>& violations) {
  for (const std::string& violation : violations) UNSCOPED_INFO(violation);
  CHECK(violations.empty());
}

TEST_CASE("no power cut loses an acknowledged entry, invents one, or stops the next start") {
  const CrashStates found =
      run_crash_states(number_in_environment("TALLY_STATES").value_or(kStates),
                       number_in_environment("TALLY_WORKLOAD"));
  check_none(found.violations);
  const auto count = [](std::uint64_t number) { return static_cast<unsigned long long>(number); };
  std::printf("crash states: %llu workloads, %llu moments on the reserve\n", count(found.workloads),
              count(found.moments_on_reserve));
  std::printf("crash states: %llu with LevelDB (%llu rebuilt), %llu of a trimmed log\n",
              count(found.leveldb_states), count(found.rebuilds), count(found.trimmed_states));
  std::printf("crash states: %llu states, %zu violations\n", count(found.states),
              found.violations.size());
}

TEST_CASE("no error of the file system loses an acknowledged entry") {
  const bool with_leveldb = GENERATE(false, true);
  const Faults found = run_faults(with_leveldb);
  check_none(found.violations);
  std::printf("file system errors%s: %llu faults, %zu violations\n",
              with_leveldb ? " with LevelDB" : "", static_cast<unsigned long long>(found.faults),
              found.violations.size());
}

TEST_CASE("no damage to a file is served, and none is cut away that a witness knows of") {
  const Corruptions found =
      run_corruptions(number_in_environment("TALLY_CORRUPTIONS").value_or(kCorruptions));
  check_none(found.violations);
  std::printf(
      "damaged files: %llu refused, %llu indexes rebuilt, %llu tails cut: %llu corruptions, %zu "
      "violations\n",
      static_cast<unsigned long long>(found.refused),
      static_cast<unsigned long long>(found.rebuilt), static_cast<unsigned long long>(found.cut),
      static_cast<unsigned long long>(found.corruptions), found.violations.size());
}

}  // namespace
}  // namespace tally::testing
