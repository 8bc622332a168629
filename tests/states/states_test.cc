// How hard each suite tries is set in the environment: TALLY_STATES=1000000, and TALLY_WORKLOAD=n
// repeats one workload of the crash states.

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>

#include "tests/states/crash_states.h"

namespace tally::testing {
namespace {

constexpr std::uint64_t kStates = 450'000;

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
  std::printf(
      "crash states: %llu workloads, %llu with LevelDB (%llu rebuilt): %llu states, %zu "
      "violations\n",
      static_cast<unsigned long long>(found.workloads),
      static_cast<unsigned long long>(found.leveldb_states),
      static_cast<unsigned long long>(found.rebuilds),
      static_cast<unsigned long long>(found.states), found.violations.size());
}

}  // namespace
}  // namespace tally::testing
