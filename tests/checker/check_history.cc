// Judges a history from a file: one event per line, as tests/support/history_json.h describes.

#include <cxxopts.hpp>
#include <fstream>
#include <iostream>
#include <unordered_map>

#include "tests/support/history_checker.h"
#include "tests/support/history_json.h"

namespace tally::test {
namespace {

constexpr int kExitViolations = 1;
constexpr int kExitUsage = 2;

struct Arguments {
  std::string file{};
  CheckerLimits limits{};
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  CheckerLimits& limits = arguments.limits;
  cxxopts::Options options("check_history", "Judges a history by the promises of Tally.");
  options.positional_help("FILE");
  options.add_options()("file", "", cxxopts::value(arguments.file));
  const auto limit = [&](const char* name, const char* what, auto& value) {
    options.add_options()(name, what, cxxopts::value(value), "N");
  };
  limit("attempts-max", "attempts before the broker dead-letters by itself", limits.attempts_max);
  limit("check-budget", "counted checks before a transaction is parked", limits.check_budget);
  limit("check-answer-ms", "after which an unanswered check is over", limits.check_answer_ms);
  limit("check-backoff-max-ms", "cap of the delay between checks", limits.check_backoff_max_ms);
  limit("call-ms", "longest time a call may take", limits.call_ms);
  limit("heal-ms", "within which a call is answered after healing", limits.heal_ms);
  options.parse_positional("file");
  options.parse(argc, argv);
  if (arguments.file.empty()) throw std::invalid_argument(options.help());
  return arguments;
}

/// The events that violations name, in their own words.
std::unordered_map<std::uint64_t, std::string> lines_of(const std::string& file,
                                                        const std::vector<Violation>& violations) {
  std::unordered_map<std::uint64_t, std::string> lines;
  for (const Violation& violation : violations) {
    for (const auto event : violation.events) lines[event];
  }
  std::ifstream in(file);
  std::string line;
  for (std::uint64_t number = 1; std::getline(in, line); ++number) {
    if (const auto found = lines.find(number); found != lines.end()) found->second = line;
  }
  return lines;
}

int judge(const Arguments& arguments) {
  std::ifstream in(arguments.file);
  if (!in) throw std::invalid_argument(arguments.file + ": cannot be read");
  HistoryChecker checker(arguments.limits);
  std::vector<Violation> violations;
  const auto keep = [&](std::vector<Violation> found) {
    violations.insert(violations.end(), found.begin(), found.end());
  };
  std::string line;
  while (std::getline(in, line)) {
    const auto event = event_from_json(line);
    if (!event) {
      throw std::invalid_argument(arguments.file + ":" +
                                  std::to_string(checker.summary().events + 1) + ": " +
                                  event.error().message);
    }
    keep(checker.add(*event));
  }
  keep(checker.finish());

  const auto lines = lines_of(arguments.file, violations);
  for (const Violation& violation : violations) {
    std::cout << to_string(violation) << '\n';
    for (const auto event : violation.events) {
      std::cout << "  " << event << ' ' << lines.at(event) << '\n';
    }
  }
  const auto& summary = checker.summary();
  std::cout << summary.events << " events, " << summary.messages << " messages, "
            << summary.transactions << " transactions, " << summary.deliveries << " deliveries, "
            << summary.unanswered << " calls unanswered, " << violations.size() << " violations"
            << (summary.drained ? "" : "; not drained, so loss was not looked for") << '\n';
  return violations.empty() ? 0 : kExitViolations;
}

}  // namespace
}  // namespace tally::test

int main(int argc, char** argv) {
  try {
    return tally::test::judge(tally::test::parse(argc, argv));
  } catch (const std::exception& wrong) {
    std::cerr << "check_history: " << wrong.what() << '\n';
    return tally::test::kExitUsage;
  }
}
