// Hundreds of runs, each from its seed. Longer: TALLY_SIMULATION_SEEDS=2000, or tools/dev sim --seeds 2000.

#include <catch2/catch.hpp>
#include <cstdlib>

#include "tests/simulation/seeds.h"

namespace tally::simulation {
namespace {

constexpr std::uint64_t kRaceHitsMin = 20;

std::uint64_t seeds_wanted() {
  const char* setting = std::getenv("TALLY_SIMULATION_SEEDS");
  return setting != nullptr ? std::strtoull(setting, nullptr, 10) : 250;
}

}  // namespace

TEST_CASE("whatever fails, nothing that was promised is broken, and each race is met") {
  const Summary summary = run_seeds(1, seeds_wanted());
  print(summary);
  for (const std::string& failure : summary.failures) UNSCOPED_INFO(failure);
  CHECK(summary.failures.empty());
  for (std::size_t i = 1; i < kRaces; ++i) {
    CAPTURE(name(Race(i)));
    CHECK(summary.races[i] >= kRaceHitsMin);
  }
}

TEST_CASE("a seed gives the same run each time") {
  for (const std::uint64_t seed : {3u, 4u}) {
    const Outcome once = simulate(options_for(seed));
    const Outcome again = simulate(options_for(seed));
    CHECK(once.steps == again.steps);
    CHECK(once.events == again.events);
    CHECK(once.races == again.races);
  }
}

}  // namespace tally::simulation
