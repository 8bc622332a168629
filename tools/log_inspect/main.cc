// log-inspect: looks at a data directory without a broker.

#include <cstdio>
#include <cxxopts.hpp>
#include <sstream>

#include "tools/log_inspect/dump.h"
#include "tools/log_inspect/rebuild_comparison.h"
#include "tools/log_inspect/verification.h"

namespace tally::tools {
namespace {

constexpr int kBadArguments = 2;
constexpr int kRefused = 3;
constexpr int kDiskFailure = 4;

struct Invocation {
  const cxxopts::ParseResult& options;
  std::vector<ShardPlace> places;
  cli::Format format;
};

struct Command {
  const char* word;
  const char* summary;
  const char* examples;
  void (*add_options)(cxxopts::OptionAdder&);
  Result<void> (*run)(const Invocation&);
};

constexpr const char* kOverview = R"(log-inspect: looks at Tally's data without a broker.

Usage: log-inspect COMMAND DIR [OPTION...]

DIR is a data directory, or a log directory in one. Nothing in it is changed.

)";

constexpr const char* kOverviewEnd = R"(
Options of every command:
  -o, --output FORM    table (default), or json: one object per line
  -h, --help           help for a command

Exit codes: 0 all is well (a torn tail, which the next start cuts, too), 2 wrong arguments,
3 damaged, different, in use or not readable by this version, 4 the disk failed.

Examples:
  log-inspect verify ./tally-data
  log-inspect dump ./tally-data --transaction order-42
  log-inspect rebuild-compare ./tally-data
)";

Result<void> run_verify(const Invocation& invocation) {
  return verify(invocation.places, invocation.format);
}

Result<void> run_dump(const Invocation& invocation) {
  const cxxopts::ParseResult& given = invocation.options;
  DumpOptions options{.bases = given.count("bases") != 0, .format = invocation.format};
  if (given.count("from") != 0) options.from = Lsn(given["from"].as<std::uint64_t>());
  if (given.count("to") != 0) options.to = Lsn(given["to"].as<std::uint64_t>());
  if (given.count("topic") != 0) options.topic = TopicUid(given["topic"].as<std::uint32_t>());
  if (given.count("transaction") != 0) {
    options.transaction = given["transaction"].as<std::string>();
  }
  for (const ShardPlace& place : invocation.places) TALLY_TRY_VOID(dump_log(place, options));
  return {};
}

Result<void> run_rebuild_compare(const Invocation& invocation) {
  for (const ShardPlace& place : invocation.places) {
    TALLY_TRY_VOID(compare_with_rebuilt(place, invocation.format));
  }
  return {};
}

void add_dump_options(cxxopts::OptionAdder& add) {
  add("from", "records from this LSN on", cxxopts::value<std::uint64_t>(), "LSN");
  add("to", "records before this LSN", cxxopts::value<std::uint64_t>(), "LSN");
  add("topic", "records of this topic", cxxopts::value<std::uint32_t>(), "UID");
  add("transaction", "records that name this transaction", cxxopts::value<std::string>(), "ID");
  add("bases", "the rows of all bases, too");
}

constexpr Command kCommands[] = {
    {"verify", "check every byte of log and bases, and that the index matches",
     "log-inspect verify ./tally-data\nlog-inspect verify ./tally-data/0/log -o json", nullptr,
     run_verify},
    {"dump", "records of the log, and rows of its bases, one per line",
     "log-inspect dump ./tally-data --from 4096 --to 8192\n"
     "log-inspect dump ./tally-data --transaction order-42    # its story\n"
     "log-inspect dump ./tally-data --topic 1 --bases -o json",
     add_dump_options, run_dump},
    {"rebuild-compare", "rebuild the state from log and bases, and compare it with the index",
     "log-inspect rebuild-compare ./tally-data    # the broker must be stopped", nullptr,
     run_rebuild_compare},
};

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kDataDamaged:
    case ErrorCode::kDataFormat:
    case ErrorCode::kDataLocked:
    case ErrorCode::kDataUnusable:
    case ErrorCode::kIndexDiffers:
      return kRefused;
    case ErrorCode::kInvalidArgument:
      return kBadArguments;
    default:
      return kDiskFailure;
  }
}

int fail(const Error& error, cli::Format format) {
  std::fflush(stdout);
  cli::print_error(format, error);
  return exit_code(error.code);
}

int refuse(const std::string& what) {
  return fail(Error(ErrorCode::kInvalidArgument, what + "; see log-inspect --help"),
              cli::Format::kTable);
}

int print_overview() {
  std::fputs(kOverview, stdout);
  for (const Command& command : kCommands) {
    std::printf("  %-17s %s\n", command.word, command.summary);
  }
  std::fputs(kOverviewEnd, stdout);
  return 0;
}

int print_help(const Command& command, const cxxopts::Options& options) {
  std::printf("%s\nExamples:\n", options.help({""}).c_str());
  std::istringstream examples(command.examples);
  for (std::string line; std::getline(examples, line);) std::printf("  %s\n", line.c_str());
  return 0;
}

int run_command(const Command& command, int argc, char** argv) {
  cxxopts::Options options(std::string("log-inspect ") + command.word, command.summary);
  options.custom_help("[OPTION...]").positional_help("DIR");
  cxxopts::OptionAdder add = options.add_options();
  if (command.add_options != nullptr) command.add_options(add);
  add("o,output", "table or json", cxxopts::value<std::string>()->default_value("table"), "FORM");
  add("h,help", "this text");
  options.add_options("positional")("directory", "", cxxopts::value<std::string>());
  options.parse_positional({"directory"});
  const cxxopts::ParseResult parsed = options.parse(argc, argv);
  if (parsed.count("help") != 0) return print_help(command, options);
  const auto form = parsed["output"].as<std::string>();
  if (form != "table" && form != "json") return refuse("--output takes table or json");
  if (parsed.count("directory") == 0) return refuse("name a data directory");
  if (!parsed.unmatched().empty()) return refuse("one directory only");
  const cli::Format format = form == "json" ? cli::Format::kJson : cli::Format::kTable;
  auto places = find_shards(parsed["directory"].as<std::string>());
  if (!places) return fail(places.error(), format);
  const auto done = command.run({parsed, *std::move(places), format});
  return done ? 0 : fail(done.error(), format);
}

int run(int argc, char** argv) {
  const std::string word = argc > 1 ? argv[1] : "--help";
  if (word == "--help" || word == "-h") return print_overview();
  for (const Command& command : kCommands) {
    if (word != command.word) continue;
    try {
      return run_command(command, argc - 1, argv + 1);
    } catch (const cxxopts::exceptions::exception& failure) {
      return refuse(failure.what());
    }
  }
  return refuse("'" + word + "' is no command");
}

}  // namespace
}  // namespace tally::tools

int main(int argc, char** argv) { return tally::tools::run(argc, argv); }
