// log-inspect: prints and verifies the log in a data directory without a broker.

#include <algorithm>
#include <cstdio>
#include <cxxopts.hpp>
#include <filesystem>
#include <system_error>
#include <vector>

#include "tools/log_inspect/log_inspection.h"

namespace tally::tools {
namespace {

constexpr int kBadArguments = 2;
constexpr int kRefused = 3;
constexpr int kDiskFailure = 4;

constexpr const char* kExamples = R"(
Examples:
  log-inspect ./tally-data                        segments, and whether all is well
  log-inspect ./tally-data --entries              each entry: position, time, size
  log-inspect ./tally-data --records -o json      each record as one JSON object a line
  log-inspect ./tally-data/0/log --records --from 4096

Every byte is checked, messages too. Nothing is changed; a broker may be running.
Exit: 0 all is well (a torn tail, which the next start cuts, too), 2 bad arguments,
3 damaged or not readable by this version, 4 the disk failed.
)";

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kDataDamaged:
    case ErrorCode::kDataFormat:
    case ErrorCode::kDataLocked:
      return kRefused;
    case ErrorCode::kInvalidArgument:
      return kBadArguments;
    default:
      return kDiskFailure;
  }
}

int report(const Error& error, bool json) {
  std::fflush(stdout);
  if (json) {
    const nlohmann::ordered_json object = {
        {"error",
         {{"code", name(error.code)},
          {"number", static_cast<int>(error.code)},
          {"message", error.message},
          {"hint", hint(error.code)},
          {"outcome", outcome(error.code) == Outcome::kDefinite ? "definite" : "unknown"}}}};
    std::fprintf(stderr, "%s\n", object.dump().c_str());
  } else {
    std::fprintf(stderr, "%s\n", to_string(error).c_str());
  }
  return exit_code(error.code);
}

bool is_number(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](char digit) { return digit >= '0' && digit <= '9'; });
}

/// `directory` itself when it holds segments, else the log of every shard in it.
std::vector<std::string> find_logs(const std::string& directory) {
  std::vector<std::string> logs;
  std::error_code failure;
  for (const auto& item : std::filesystem::directory_iterator(directory, failure)) {
    const std::string name = item.path().filename().string();
    if (store::parse_segment_name(name)) return {directory};
    if (is_number(name) && std::filesystem::is_directory(item.path() / "log", failure)) {
      logs.push_back((item.path() / "log").string());
    }
  }
  std::sort(logs.begin(), logs.end());
  return logs;
}

int inspect(const cxxopts::ParseResult& parsed) {
  InspectOptions options;
  const auto format = parsed["output"].as<std::string>();
  options.json = format == "json";
  if (!options.json && format != "table") {
    return report(Error(ErrorCode::kInvalidArgument, "--output is table or json"), false);
  }
  if (parsed.count("entries") != 0) options.detail = InspectOptions::Detail::kEntries;
  if (parsed.count("records") != 0) options.detail = InspectOptions::Detail::kRecords;
  options.from = Lsn(parsed["from"].as<std::uint64_t>());
  if (parsed.count("directory") == 0) {
    return report(Error(ErrorCode::kInvalidArgument, "name a data directory; see --help"),
                  options.json);
  }
  const auto directory = parsed["directory"].as<std::string>();
  const std::vector<std::string> logs = find_logs(directory);
  if (logs.empty()) {
    return report(Error(ErrorCode::kInvalidArgument, directory + ": no log found there"),
                  options.json);
  }
  for (const std::string& log : logs) {
    if (const auto done = LogInspection(log, options).run(); !done) {
      return report(done.error(), options.json);
    }
  }
  return 0;
}

int run(int argc, char** argv) {
  cxxopts::Options options("log-inspect", "Prints and verifies Tally's log without a broker.");
  options.positional_help("DIR").add_options()  //
      ("entries", "print entries")              //
      ("records", "print records")              //
      ("from", "print from this LSN on", cxxopts::value<std::uint64_t>()->default_value("0"),
       "LSN")  //
      ("o,output", "table or json (one object a line)",
       cxxopts::value<std::string>()->default_value("table"), "FORMAT")  //
      ("h,help", "print this")                                           //
      ("directory", "a data directory, or a log directory in one", cxxopts::value<std::string>());
  options.parse_positional({"directory"});
  try {
    const cxxopts::ParseResult parsed = options.parse(argc, argv);
    if (parsed.count("help") != 0) {
      std::printf("%s%s", options.help().c_str(), kExamples);
      return 0;
    }
    if (!parsed.unmatched().empty()) {
      return report(Error(ErrorCode::kInvalidArgument, "one directory only"), false);
    }
    return inspect(parsed);
  } catch (const cxxopts::exceptions::exception& failure) {
    return report(Error(ErrorCode::kInvalidArgument, failure.what()), false);
  }
}

}  // namespace
}  // namespace tally::tools

int main(int argc, char** argv) { return tally::tools::run(argc, argv); }
