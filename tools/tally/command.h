#pragma once
// Commands of `tally`: one table drives dispatch and help.

#include <cxxopts.hpp>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tools/tally/broker.h"
#include "tools/tally/output.h"

namespace tally::cli {

/// What a command is given when it runs.
struct Invocation {
  const cxxopts::ParseResult& options;
  std::string broker;
  Format format;

  bool json() const { return format == Format::kJson; }
  /// The option's text, or empty.
  std::string text(const std::string& option) const;
  /// Prints the error and gives its exit code.
  int fail(const Error& error) const;
};

struct Command {
  std::string words;      ///< "topic create"
  std::string arguments;  ///< positional ones, in their order: "NAME"
  std::string summary;
  std::string examples;  ///< one per line
  std::function<void(cxxopts::OptionAdder&)> add_options;
  std::function<int(const Invocation&)> run;
};

/// All commands, in the order of the help text.
std::vector<Command> commands();

// One function per file of commands.
std::vector<Command> topic_commands();
std::vector<Command> send_commands();
std::vector<Command> receive_commands();
std::vector<Command> group_commands();
std::vector<Command> producer_group_commands();
std::vector<Command> transaction_commands();
std::vector<Command> transaction_admin();
std::vector<Command> transaction_views();
std::vector<Command> stats_commands();
std::vector<Command> bench_commands();

/// Wrong arguments: printed by main with exit code 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// "2s", "500ms", "5m", "1h" in milliseconds. Throws UsageError.
std::int64_t parse_duration_ms(const std::string& text);

}  // namespace tally::cli
