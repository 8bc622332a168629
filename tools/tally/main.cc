// tally: the command line of the broker.

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "tools/tally/command.h"

namespace tally::cli {

std::string Invocation::text(const std::string& option) const {
  return options.count(option) ? options[option].as<std::string>() : std::string();
}

int Invocation::fail(const Error& error) const {
  print_error(format, error);
  return exit_code(error);
}

std::int64_t parse_duration_ms(const std::string& text) {
  std::size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') ++digits;
  std::string unit = text.substr(digits);
  std::int64_t factor = unit == "ms"  ? 1
                        : unit == "s" ? 1'000
                        : unit == "m" ? 60'000
                        : unit == "h" ? 3'600'000
                                      : 0;
  if (digits == 0 || digits > 9 || factor == 0) {
    throw UsageError("'" + text + "' is not a duration; write 500ms, 2s, 5m or 1h");
  }
  return std::stoll(text) * factor;
}

std::vector<Command> commands() {
  std::vector<Command> all;
  for (auto part : {topic_commands(), send_commands(), receive_commands(), group_commands(),
                    producer_group_commands(), transaction_commands(), transaction_admin(),
                    transaction_views(), stats_commands(), bench_commands()}) {
    std::move(part.begin(), part.end(), std::back_inserter(all));
  }
  return all;
}

namespace {

constexpr const char* kOverview = R"(tally: the command line of the Tally broker.

Usage: tally [--broker HOST:PORT] [-o table|json] COMMAND [ARGUMENT...]

)";

constexpr const char* kOverviewEnd = R"(
Options of every command:
  --broker HOST:PORT   the broker (default: $TALLY_BROKER, else 127.0.0.1:7410)
  -o, --output FORM    table (default), or json: one object per line
  -h, --help           help for a command

Exit codes: 0 done, 1 the broker said no, 2 wrong arguments, 3 the broker is not reachable.

Examples:
  tally topic create orders --queues 8
  tally send --topic orders --key 42 --body '{"id":42}'
  tally receive --topic orders --group points -o json
  tally txn list --state pending
)";

void print_overview() {
  std::fputs(kOverview, stdout);
  for (const Command& command : commands()) {
    std::string usage = command.words + (command.arguments.empty() ? "" : " " + command.arguments);
    std::printf("  %-24s %s\n", usage.c_str(), command.summary.c_str());
  }
  std::fputs(kOverviewEnd, stdout);
}

void print_help(const Command& command, const cxxopts::Options& options) {
  std::printf("%s\nExamples:\n", options.help({""}).c_str());
  std::istringstream examples(command.examples);
  for (std::string line; std::getline(examples, line);) std::printf("  %s\n", line.c_str());
}

/// The command that the first plain words of `arguments` name; its words are taken out.
const Command* take_command(const std::vector<Command>& all, std::vector<std::string>& arguments) {
  std::vector<std::size_t> places;
  for (std::size_t i = 1; i < arguments.size() && places.size() < 2; ++i) {
    const std::string& word = arguments[i];
    if (word == "--broker" || word == "-o" || word == "--output") {
      ++i;
    } else if (word.empty() || word.front() != '-') {
      places.push_back(i);
    }
  }
  for (std::size_t count = places.size(); count > 0; --count) {
    std::string words = arguments[places[0]];
    if (count == 2) words += " " + arguments[places[1]];
    auto found = std::find_if(all.begin(), all.end(), [&](auto& c) { return c.words == words; });
    if (found == all.end()) continue;
    for (std::size_t k = count; k > 0; --k) {
      arguments.erase(arguments.begin() + static_cast<std::ptrdiff_t>(places[k - 1]));
    }
    return &*found;
  }
  return nullptr;
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

int run_command(const Command& command, const std::vector<std::string>& arguments) {
  cxxopts::Options options("tally " + command.words, command.summary);
  options.custom_help("[OPTION...]").positional_help(command.arguments);
  cxxopts::OptionAdder add = options.add_options();
  if (command.add_options) command.add_options(add);
  add("broker", "the broker", cxxopts::value<std::string>(), "HOST:PORT");
  add("o,output", "table or json", cxxopts::value<std::string>()->default_value("table"), "FORM");
  add("h,help", "this text");
  cxxopts::OptionAdder positional = options.add_options("positional");
  std::vector<std::string> names = words_of(command.arguments);
  for (const std::string& name : names) positional(name, "", cxxopts::value<std::string>());
  options.parse_positional(names);

  std::vector<const char*> argv;
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  cxxopts::ParseResult parsed = options.parse(static_cast<int>(argv.size()), argv.data());
  if (parsed.count("help")) return print_help(command, options), kExitOk;
  if (!parsed.unmatched().empty()) {
    throw UsageError("unexpected argument '" + parsed.unmatched().front() + "'");
  }
  for (const std::string& name : names) {
    if (!parsed.count(name)) throw UsageError(name + " is missing");
  }
  std::string form = parsed["output"].as<std::string>();
  if (form != "table" && form != "json") throw UsageError("--output takes table or json");
  const char* from_environment = std::getenv("TALLY_BROKER");
  std::string broker = parsed.count("broker") ? parsed["broker"].as<std::string>()
                       : from_environment     ? from_environment
                                              : "127.0.0.1:7410";
  if (auto address = net::parse_address(broker); !address)
    throw UsageError(address.error().message);
  return command.run({parsed, broker, form == "json" ? Format::kJson : Format::kTable});
}

}  // namespace
}  // namespace tally::cli

int main(int argc, char** argv) {
  using namespace tally::cli;
  std::signal(SIGPIPE, SIG_IGN);
  std::vector<std::string> arguments(argv, argv + argc);
  const std::vector<Command> all = commands();
  const Command* command = take_command(all, arguments);
  if (!command) {
    bool asks_help = argc == 1 || std::any_of(arguments.begin() + 1, arguments.end(), [](auto& a) {
                       return a == "--help" || a == "-h" || a == "help";
                     });
    if (asks_help) return print_overview(), kExitOk;
    std::fprintf(stderr, "INVALID_ARGUMENT: no such command; see tally --help\n");
    return kExitArguments;
  }
  try {
    return run_command(*command, arguments);
  } catch (const UsageError& error) {
    std::fprintf(stderr, "INVALID_ARGUMENT: %s; see tally %s --help\n", error.what(),
                 command->words.c_str());
  } catch (const cxxopts::exceptions::exception& error) {
    std::fprintf(stderr, "INVALID_ARGUMENT: %s; see tally %s --help\n", error.what(),
                 command->words.c_str());
  }
  return kExitArguments;
}
