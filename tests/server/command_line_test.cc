#include "broker/server/command_line.h"

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/support/temporary_folder.h"

namespace tally::broker {
namespace {

Result<CommandLine> parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "tallyd");
  return read_command_line(static_cast<int>(arguments.size()), arguments.data());
}

class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text) : path_(folder_.file("tally.toml")) {
    std::ofstream(path_) << text;
  }
  const char* path() const { return path_.c_str(); }
  std::string refusal() const {
    auto line = parse({"--config", path()});
    if (line) return "accepted";
    CHECK(line.error().code == ErrorCode::kInvalidArgument);
    return line.error().message.substr(line.error().message.find("tally.toml"));
  }

 private:
  testing::TemporaryFolder folder_;
  std::string path_;
};

}  // namespace

TEST_CASE("without a file and flags every key has its default") {
  const Settings settings = parse({})->settings;
  CHECK(settings.listen == "127.0.0.1:7410");
  CHECK(settings.data_dir == "./tally-data");
  CHECK(settings.core.first_check_ms == 10'000);
  CHECK(settings.core.lease_ms == 30'000);
  CHECK(settings.segment_bytes == 256u << 20);
}

TEST_CASE("a flag wins over the file, the file over the default") {
  const ConfigFile file("[transactions]\nfirst_check_ms = 1000\ncheck_budget = 3\n");
  const Settings settings = parse({"--config", file.path(), "--first-check-ms", "2000"})->settings;
  CHECK(settings.core.first_check_ms == 2'000);
  CHECK(settings.core.check_budget == 3);
  CHECK(settings.core.lease_ms == 30'000);
}

TEST_CASE("the printed configuration is a file that gives the same configuration") {
  const auto first =
      parse({"--print-config", "--lease-ms=500", "--data-dir", "a \"quoted\\\" dir"});
  const ConfigFile file(first->print);
  CHECK(parse({"--print-config", "--config", file.path()})->print == first->print);
  for (const Key& key : setting_keys())
    CHECK(first->print.find(std::string(key.name) + " = ") != std::string::npos);
}

TEST_CASE("help names every key as a flag") {
  const std::string help = parse({"--help"})->print;
  for (const Key& key : setting_keys()) CHECK(help.find("--" + key.flag) != std::string::npos);
  CHECK(help.find("Examples:") != std::string::npos);
}

TEST_CASE("a mistake in the file is refused with line and column") {
  CHECK(ConfigFile("[server]\nlisten = 5\n").refusal() ==
        "tally.toml:2:1: listen: must be a text in quotes");
  CHECK(ConfigFile("[server]\n\n  lissen = \"x\"\n").refusal() ==
        "tally.toml:3:3: unknown key 'lissen' in [server]");
  CHECK(ConfigFile("[sever]\n").refusal().starts_with("tally.toml:1:"));
  CHECK(ConfigFile("[limits]\nwindow = 0\n").refusal() ==
        "tally.toml:2:1: window: 0 is not between 1 and 65536");
  CHECK(ConfigFile("[limits]\nwindow = \"many\"\n").refusal() ==
        "tally.toml:2:1: window: must be a whole number");
  CHECK(ConfigFile("[log]\nlevel = \"loud\"\n")
            .refusal()
            .starts_with("tally.toml:2:1: level: \"loud\" is none of"));
  CHECK(ConfigFile("[log\n").refusal().starts_with("tally.toml:1:"));
  CHECK(ConfigFile("window = 5\n").refusal().starts_with("tally.toml:1:1:"));
}

TEST_CASE("a mistake on the command line is refused") {
  CHECK_FALSE(parse({"--no-such-flag"}));
  CHECK_FALSE(parse({"--window", "many"}));
  CHECK_FALSE(parse({"--window", "12x"}));
  CHECK_FALSE(parse({"--window", "0"}));
  CHECK_FALSE(parse({"--log-level", "loud"}));
  CHECK_FALSE(parse({"--listen", "nowhere"}));
  CHECK_FALSE(parse({"surplus"}));
  CHECK_FALSE(parse({"--config", "/does/not/exist.toml"}));
}

}  // namespace tally::broker
