#include "protocol/base/clock.h"

#include <ctime>

namespace tally {
namespace {

class SystemClock final : public Clock {
 public:
  std::int64_t wall_ms() const override {
    timespec now = read(CLOCK_REALTIME);
    return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
  }
  std::int64_t boot_us() const override {
    timespec now = read(CLOCK_BOOTTIME);
    return std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
  }

 private:
  static timespec read(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return now;
  }
};

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

}  // namespace tally
