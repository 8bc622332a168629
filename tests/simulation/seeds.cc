#include "tests/simulation/seeds.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace tally::simulation {
namespace {

constexpr unsigned kHungSeconds = 60;
constexpr std::uint64_t kSeedsForARace = 50;

char last_words[100];

void say_last_words() {
  static_cast<void>(!write(STDERR_FILENO, last_words, std::strlen(last_words)));
}

void on_signal(int number) {
  say_last_words();
  signal(number, SIG_DFL);
  raise(number);
}

/// A failed check of the product, a crash, an endless loop: the process ends, but not without saying which seed it was.
void name_the_seed_at_death() {
  signal(SIGABRT, on_signal);
  signal(SIGALRM, on_signal);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_set_death_callback(say_last_words);
#else
  signal(SIGSEGV, on_signal);
#endif
}

unsigned long long number(std::uint64_t n) { return n; }

}  // namespace

Summary run_seeds(std::uint64_t first, std::uint64_t count) {
  name_the_seed_at_death();
  Summary summary{.seeds = count};
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    std::snprintf(last_words, sizeof last_words, "the process ended in %s\n",
                  repeat_command(seed).c_str());
    alarm(kHungSeconds);
    const Outcome outcome = simulate(options_for(seed));
    alarm(0);
    summary.steps += outcome.steps;
    summary.events += outcome.events;
    summary.transactions += outcome.transactions;
    summary.deliveries += outcome.deliveries;
    summary.deaths += outcome.deaths;
    for (std::size_t i = 0; i < kRaces; ++i) {
      summary.races[i].times += outcome.races[i];
      summary.races[i].seeds += outcome.races[i] > 0;
    }
    if (!outcome.failed()) continue;
    ++summary.failed;
    std::puts(report(outcome).c_str());
    std::fflush(stdout);
  }
  return summary;
}

std::optional<Outcome> first_failure(std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    Outcome outcome = simulate(options_for(seed));
    if (outcome.failed()) return outcome;
  }
  return std::nullopt;
}

std::vector<Race> rarely_met(const Summary& summary) {
  std::vector<Race> rare;
  for (std::size_t i = 1; i < kRaces; ++i) {
    if (summary.races[i].seeds < summary.seeds / kSeedsForARace) rare.push_back(Race(i));
  }
  return rare;
}

void print(const Summary& summary) {
  std::uint64_t least = summary.seeds;
  for (std::size_t i = 1; i < kRaces; ++i) {
    const Summary::Met& met = summary.races[i];
    std::printf("race %2zu %-27s %8llu times, in %llu seeds\n", i,
                std::string(name(Race(i))).c_str(), number(met.times), number(met.seeds));
    least = std::min(least, met.seeds);
  }
  for (const Race race : rarely_met(summary)) {
    std::printf("NOT MET in one seed of %llu: %s\n", number(kSeedsForARace),
                std::string(name(race)).c_str());
  }
  std::printf("%llu transactions, %llu deliveries, %llu deaths of the broker\n",
              number(summary.transactions), number(summary.deliveries), number(summary.deaths));
  std::printf(
      "%llu seeds, %llu steps, %llu events, each race in at least %llu seeds, %llu violations\n",
      number(summary.seeds), number(summary.steps), number(summary.events), number(least),
      number(summary.failed));
}

}  // namespace tally::simulation
