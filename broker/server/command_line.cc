#include "broker/server/command_line.h"

#include <charconv>
#include <cxxopts.hpp>

#include "protocol/net/client.h"

namespace tally::broker {
namespace {

constexpr const char* kExamples = R"(
Every flag is also a key of the configuration file; flags win. tallyd --print-config shows
the effective values in the form of such a file.

Exit codes: 0 after SIGTERM or SIGINT, 2 arguments, configuration or address in use,
3 data refused (damaged, other format, locked), 4 disk failure.

Examples:
  tallyd                                        # ./tally-data, 127.0.0.1:7410
  tallyd --data-dir /var/lib/tally --listen 0.0.0.0:7410
  tallyd --listen 127.0.0.1:0 --first-check-ms 1000
  tallyd --config tally.toml --log-level debug
  tallyd --config tally.toml --print-config
)";

cxxopts::Options make_options() {
  cxxopts::Options options("tallyd", "The Tally message broker.");
  options.custom_help("[FLAG...]");
  auto add = options.add_options();
  add("config", "configuration file (TOML)", cxxopts::value<std::string>(), "FILE");
  add("print-config", "print the effective configuration and exit");
  add("version", "print the version and exit");
  add("h,help", "print this text and exit");
  Settings defaults;
  std::string_view table;
  for (const Key& key : setting_keys()) {
    if (key.table != table) table = key.table;
    const std::string help = std::string(key.help) + " (default " + value_text(defaults, key) + ")";
    options.add_options(std::string(table))(key.flag, help, cxxopts::value<std::string>(),
                                            key.is_text() ? "TEXT" : "N");
  }
  return options;
}

Error invalid(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message)}; }

Result<std::int64_t> parse_integer(const std::string& flag, const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return invalid(flag + ": '" + text + "' is not a whole number");
  }
  return value;
}

Result<void> read_flags(const cxxopts::ParseResult& parsed, Settings& settings) {
  for (const Key& key : setting_keys()) {
    if (parsed.count(key.flag) == 0) continue;
    const std::string flag = "--" + key.flag;
    const std::string& text = parsed[key.flag].as<std::string>();
    if (key.is_text()) {
      TALLY_TRY_VOID(set_text(settings, key, text, flag));
    } else {
      TALLY_TRY(const std::int64_t value, parse_integer(flag, text));
      TALLY_TRY_VOID(set_integer(settings, key, value, flag));
    }
  }
  return {};
}

}  // namespace

Result<CommandLine> read_command_line(int argc, const char* const* argv) {
  cxxopts::Options options = make_options();
  CommandLine line;
  try {
    const cxxopts::ParseResult parsed = options.parse(argc, argv);
    if (!parsed.unmatched().empty())
      return invalid("unexpected argument '" + parsed.unmatched()[0] + "'");
    if (parsed.count("config") != 0) {
      TALLY_TRY_VOID(read_settings_file(parsed["config"].as<std::string>(), line.settings));
    }
    TALLY_TRY_VOID(read_flags(parsed, line.settings));
    TALLY_TRY_VOID(net::parse_address(line.settings.listen));
    TALLY_TRY_VOID(check_settings(line.settings));
    if (parsed.count("help") != 0) {
      line.print = options.help() + kExamples;
    } else if (parsed.count("version") != 0) {
      line.print = "tallyd " TALLY_VERSION "\n";
    } else if (parsed.count("print-config") != 0) {
      line.print = to_toml(line.settings);
    }
  } catch (const cxxopts::exceptions::exception& error) {
    return invalid(error.what());
  }
  return line;
}

}  // namespace tally::broker
