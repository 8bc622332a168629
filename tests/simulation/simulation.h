#pragma once
// One run: everything from one seed.
//
// First work and faults together, then the faults stop and all that is open has to come to its end within a bounded time;
// then the history is complete, and the broker's states are compared.

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/simulation/options.h"
#include "tests/support/history_checker.h"

namespace tally::simulation {

struct Outcome {
  std::uint64_t seed = 0;
  std::vector<test::Violation> violations{};
  std::array<std::uint64_t, kRaces> races{};
  std::uint64_t steps = 0;   ///< of the world
  std::uint64_t events = 0;  ///< of the history
  std::uint64_t transactions = 0;
  std::uint64_t deliveries = 0;
  std::uint64_t deaths = 0;  ///< of the broker
  bool failed() const { return !violations.empty(); }
};

/// `trace`: prints what happens, step by step.
Outcome simulate(const Options& options, bool trace = false);

/// "tools/dev sim 17", with the seeded bug that is switched on.
std::string repeat_command(std::uint64_t seed);
/// The first violation and the command that repeats it.
std::string report(const Outcome& outcome);

}  // namespace tally::simulation
