#include "tests/simulation/seeds.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>

namespace tally::simulation {
namespace {

volatile sig_atomic_t running_seed_low = 0;

/// A check of the product failed: the process ends, but not without saying which seed it was.
void on_abort(int) {
  char line[] = "seed 0000000000 ended in abort(): tools/dev sim SEED repeats it\n";
  for (int digit = 14, seed = running_seed_low; digit >= 5; --digit, seed /= 10) {
    line[digit] = static_cast<char>('0' + seed % 10);
  }
  static_cast<void>(!write(STDERR_FILENO, line, sizeof line - 1));
}

}  // namespace

Summary run_seeds(std::uint64_t first, std::uint64_t count) {
  signal(SIGABRT, on_abort);
  Summary summary{.seeds = count};
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    running_seed_low = static_cast<sig_atomic_t>(seed);
    const Outcome outcome = simulate(options_for(seed));
    summary.steps += outcome.steps;
    summary.events += outcome.events;
    summary.transactions += outcome.transactions;
    summary.deliveries += outcome.deliveries;
    summary.deaths += outcome.deaths;
    for (std::size_t i = 0; i < kRaces; ++i) summary.races[i] += outcome.races[i];
    if (outcome.failed()) summary.failures.push_back(report(outcome));
  }
  return summary;
}

std::string first_failure(std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const Outcome outcome = simulate(options_for(seed));
    if (outcome.failed()) return report(outcome);
  }
  return {};
}

void print(const Summary& summary) {
  for (const std::string& failure : summary.failures) std::puts(failure.c_str());
  for (std::size_t i = 1; i < kRaces; ++i) {
    const Race race = Race(i);
    std::printf("race %2zu %-27s %llu\n", i, std::string(name(race)).c_str(),
                static_cast<unsigned long long>(summary.races[i]));
  }
  const auto number = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
  std::printf("%llu transactions, %llu deliveries, %llu deaths of the broker\n",
              number(summary.transactions), number(summary.deliveries), number(summary.deaths));
  std::printf("%llu seeds, %llu steps, %llu events, %zu violations\n", number(summary.seeds),
              number(summary.steps), number(summary.events), summary.failures.size());
}

}  // namespace tally::simulation
