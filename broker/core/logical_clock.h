#pragma once
// The broker's own time, as it stands in entries.
//
// It starts at max(newest entry's time, wall), advances with the boot clock, and is drawn towards the wall clock by at most
// a tenth of what elapsed. So it never runs backwards and never jumps, whatever happens to the machine's wall clock.

#include <algorithm>
#include <cstdint>

#include "broker/core/core_types.h"

namespace tally::broker {

class LogicalClock {
 public:
  void start(Now now, std::int64_t last_entry_ms) {
    now_ms_ = std::max(now.wall_ms, last_entry_ms);
    boot_ms_ = now.boot_ms;
    slew_tenths_ = 0;
  }

  void advance(Now now) {
    const std::int64_t elapsed = std::max<std::int64_t>(0, now.boot_ms - boot_ms_);
    boot_ms_ += elapsed;
    now_ms_ += elapsed;
    slew_tenths_ += elapsed;
    const std::int64_t allowed = slew_tenths_ / 10;
    const std::int64_t slew = std::clamp(now.wall_ms - now_ms_, -allowed, allowed);
    now_ms_ += slew;
    slew_tenths_ -= allowed * 10;
  }

  std::int64_t now_ms() const { return now_ms_; }
  std::int64_t boot_ms() const { return boot_ms_; }
  /// The boot time at which this clock reaches `ms`, when the wall clock agrees with it.
  std::int64_t boot_at(std::int64_t ms) const {
    return boot_ms_ + std::max<std::int64_t>(0, ms - now_ms_);
  }

 private:
  std::int64_t now_ms_ = 0;
  std::int64_t boot_ms_ = 0;
  std::int64_t slew_tenths_ =
      0;  ///< tenths of a ms that may be slewed; below one ms they are carried over
};

}  // namespace tally::broker
