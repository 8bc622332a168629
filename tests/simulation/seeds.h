#pragma once
// Many seeds, and what they came to.

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "tests/simulation/simulation.h"

namespace tally::simulation {

struct Summary {
  struct Met {
    std::uint64_t times = 0;
    std::uint64_t seeds = 0;  ///< in which it was met at all
  };
  std::uint64_t seeds = 0, steps = 0, events = 0, transactions = 0, deliveries = 0, deaths = 0;
  std::uint64_t failed = 0;  ///< seeds with a violation
  std::array<Met, kRaces> races{};
};

/// Prints the report of each seed that fails, at once. A seed that ends the process, or takes a minute, is named before.
Summary run_seeds(std::uint64_t first, std::uint64_t count);
/// Of the first seed that fails.
std::optional<Outcome> first_failure(std::uint64_t first, std::uint64_t count);

/// Races that less than one seed of fifty met: what is said of them would be worth little. Of fewer seeds nothing is wanted.
std::vector<Race> rarely_met(const Summary& summary);
/// The counters of races, those that were rarely met, and the line of figures.
void print(const Summary& summary);

}  // namespace tally::simulation
