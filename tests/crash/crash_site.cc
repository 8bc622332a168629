#include "tests/crash/crash_site.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace tally::test {
namespace {

constexpr const char* kFailPoint = "TALLY_FAIL_POINT";

}  // namespace

CrashSite::~CrashSite() { unsetenv(kFailPoint); }

ChildProcess CrashSite::launch() const { return launch_program("tallyd"); }

ChildProcess CrashSite::launch_testing(const std::string& fail_point) const {
  arm();
  setenv(kFailPoint, (fail_point + "@" + arm_file()).c_str(), 1);
  return launch_program("tallyd-testing");
}

ChildProcess CrashSite::launch_program(const std::string& name) const {
  std::vector<std::string> arguments{"--data-dir",  data_dir_,         "--listen",
                                     "127.0.0.1:0", "--segment-bytes", "1048576"};
  if (retention_ms_ != 0) {
    arguments.insert(arguments.end(), {"--retention-ms", std::to_string(retention_ms_),
                                       "--lifetime-ms", std::to_string(retention_ms_ / 2)});
  }
  return ChildProcess::start(program_folder() + "/" + name, arguments, messages()).value();
}

RunningBroker CrashSite::serving(ChildProcess broker) const {
  if (auto address = ready_address(broker)) return {std::move(broker), *std::move(address)};
  throw Exception(Error(ErrorCode::kUnreachable, "the broker does not come back: exit code " +
                                                     std::to_string(broker.wait()) + ", see " +
                                                     messages()));
}

void CrashSite::arm() const { std::ofstream(arm_file()).put('x'); }

void CrashSite::disarm() const { std::filesystem::remove(arm_file()); }

void CrashSite::remove_index() const { std::filesystem::remove_all(data_dir_ + "/0/index"); }

}  // namespace tally::test
