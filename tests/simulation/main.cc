// simulate [--seeds N] [--from SEED] [--bug NAME] [SEED]
//
// One seed prints its trace. Several print the counters of the races and one line of figures. Exits 1 on a violation.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "protocol/base/seeded_bug.h"
#include "tests/simulation/seeds.h"

namespace {

int usage() {
  std::fputs("usage: simulate [--seeds N] [--from SEED] [--bug NAME] [SEED]\n", stderr);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace tally;
  std::uint64_t seeds = 200, from = 1, one = 0;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--seeds" && has_value) {
      seeds = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--from" && has_value) {
      from = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--bug" && has_value) {
      seed_bug(argv[++i]);
    } else if (argument.find_first_not_of("0123456789") == std::string::npos) {
      one = std::strtoull(argv[i], nullptr, 10);
    } else {
      return usage();
    }
  }
  if (one != 0) {
    const auto outcome = simulation::simulate(simulation::options_for(one), true);
    for (const auto& violation : outcome.violations) std::puts(to_string(violation).c_str());
    return outcome.failed() ? 1 : 0;
  }
  const simulation::Summary summary = simulation::run_seeds(from, seeds);
  simulation::print(summary);
  return summary.failures.empty() ? 0 : 1;
}
