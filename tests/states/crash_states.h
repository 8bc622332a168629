#pragma once
// Power cuts under the real store: at every operation of a workload the machine stops, and the disk
// has of what was not synced nothing, everything, or any part. A start on that disk must find what
// was acknowledged and nothing that nobody wrote; and so after a cut during that start, and after
// one during the first write behind it.
//
// Everything follows from numbers: workload n is always the same, with the same cuts.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/states/store_machine.h"

namespace tally::testing {

struct Workload {
  std::uint64_t number = 0;
  std::vector<Step> steps{};
  std::size_t cut_from = 0;  ///< power is cut during this step and later ones
  Machine::IndexKind index = Machine::IndexKind::kMap;
  std::uint32_t images = 0;  ///< at each operation
};

/// First the short workloads, of at most three steps, by length; cuts in the last step only, because the
/// earlier ones are those of a shorter workload. Then longer ones, by chance.
std::uint64_t short_workloads();
Workload make_workload(std::uint64_t number);
std::string describe(const Workload& workload);

struct CrashStates {
  std::uint64_t states = 0;
  std::uint64_t workloads = 0;
  std::uint64_t leveldb_states = 0;      ///< with a real LevelDB beside the log
  std::uint64_t rebuilds = 0;            ///< of those, in which LevelDB did not open
  std::uint64_t trimmed_states = 0;      ///< whose log begins behind LSN 0
  std::uint64_t moments_on_reserve = 0;  ///< operations while the reserve is written
  std::vector<std::string> violations{};
};

/// Runs workloads until there were so many states, but at least all the short ones (without a
/// million states: those of two steps), and some longer ones, 1 % of all with LevelDB; or one
/// alone. Ends early after a few violations.
CrashStates run_crash_states(std::uint64_t states, std::optional<std::uint64_t> only = {});

}  // namespace tally::testing
