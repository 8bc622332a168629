#include "protocol/base/fail_point.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <string_view>

namespace tally {
namespace {

struct FailPoint {
  std::string name;
  std::string armed_by;
  std::atomic<long> passes_left;

  explicit FailPoint(std::string_view setting) : passes_left(1) {
    std::size_t at = setting.find('@');
    if (at != std::string_view::npos) armed_by = setting.substr(at + 1);
    setting = setting.substr(0, at);
    std::size_t colon = setting.find(':');
    name = setting.substr(0, colon);
    if (colon != std::string_view::npos) {
      passes_left = std::strtol(std::string(setting.substr(colon + 1)).c_str(), nullptr, 10);
    }
  }
};

}  // namespace

void fail_point(const char* name) {
  static FailPoint wanted = [] {
    const char* setting = std::getenv("TALLY_FAIL_POINT");
    return FailPoint(setting != nullptr ? setting : "");
  }();
  if (wanted.name != name) return;
  if (!wanted.armed_by.empty() && access(wanted.armed_by.c_str(), F_OK) != 0) return;
  if (wanted.passes_left.fetch_sub(1) == 1) kill(getpid(), SIGKILL);
}

}  // namespace tally
