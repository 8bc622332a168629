#pragma once
// Many seeds, and what they came to.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/simulation/simulation.h"

namespace tally::simulation {

struct Summary {
  std::uint64_t seeds = 0, steps = 0, events = 0, transactions = 0, deliveries = 0, deaths = 0;
  std::array<std::uint64_t, kRaces> races{};
  std::vector<std::string> failures{};  ///< one report for each failing seed
};

Summary run_seeds(std::uint64_t first, std::uint64_t count);
/// The report of the first seed that fails; empty: none does.
std::string first_failure(std::uint64_t first, std::uint64_t count);
/// Reports of failures, the counters of races, and the line of figures.
void print(const Summary& summary);

}  // namespace tally::simulation
