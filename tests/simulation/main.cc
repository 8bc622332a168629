#include <spdlog/spdlog.h>

#include <cstdio>
#include <cxxopts.hpp>

#include "tests/simulation/seeds.h"

namespace tally::simulation {
namespace {

int trace(std::uint64_t seed) {
  spdlog::set_pattern(
      "              broker     logs: %v");  // no time of this machine: equal seeds, equal traces
  const Outcome outcome = simulate(options_for(seed), true);
  if (outcome.failed()) std::puts(report(outcome).c_str());
  return outcome.failed() ? 1 : 0;
}

int run(std::uint64_t first, std::uint64_t count) {
  const Summary summary = run_seeds(first, count);
  print(summary);
  return summary.failed > 0 || !rarely_met(summary).empty() ? 1 : 0;
}

}  // namespace
}  // namespace tally::simulation

int main(int argc, char** argv) {
  std::uint64_t seeds = 200, from = 1, seed = 0;
  cxxopts::Options options(
      "simulate",
      "Runs a broker and its clients in virtual time. Exits with 1 on a violation, or when "
      "a race was hardly met.");
  options.positional_help("[SEED]");
  options.add_options()("seeds", "to run, one after the other (default 200)", cxxopts::value(seeds),
                        "N")("from", "the first of them (default 1)", cxxopts::value(from), "SEED")(
      "seed", "the only one, with its trace", cxxopts::value(seed))("help", "");
  options.parse_positional("seed");
  try {
    const auto parsed = options.parse(argc, argv);
    if (parsed.count("help") != 0) {
      std::printf("%s", options.help().c_str());
      return 0;
    }
    if (parsed.count("seed") != 0) return tally::simulation::trace(seed);
    return tally::simulation::run(from, seeds);
  } catch (const cxxopts::exceptions::exception& error) {
    std::fprintf(stderr, "simulate: %s\n", error.what());
    return 2;
  }
}
