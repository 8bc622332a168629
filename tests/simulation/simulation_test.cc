// Runs, each from its seed. More of them: tools/dev sim --seeds 5000.

#include <catch2/catch.hpp>

#include "tests/simulation/seeds.h"

namespace tally::simulation {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr std::uint64_t kSeeds = 100;
#else
constexpr std::uint64_t kSeeds = 250;
#endif

}  // namespace

TEST_CASE("whatever fails, nothing that was promised is broken, and each race is met") {
  const Summary summary = run_seeds(1, kSeeds);
  print(summary);
  CHECK(summary.failed == 0);
  CHECK(rarely_met(summary).empty());
}

TEST_CASE("a race that is met in too few seeds is named") {
  Summary summary{.seeds = 100};
  summary.races.fill({.times = 200, .seeds = 2});
  CHECK(rarely_met(summary).empty());
  summary.races[index(Race::kClockJump)] = {.times = 200, .seeds = 1};
  CHECK(rarely_met(summary) == std::vector{Race::kClockJump});
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
