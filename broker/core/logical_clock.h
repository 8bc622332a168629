#pragma once
// The broker's own time, as it stands in entries, and the time by which messages grow old.
//
// Both advance with the boot clock and are drawn to their target by at most a tenth of what elapsed: they never run
// backwards and never jump, whatever happens to the machine's wall clock.

#include <algorithm>
#include <cstdint>

#include "broker/core/core_types.h"

namespace tally::broker {

class SlewedClock {
 public:
  void start(std::int64_t now_ms, std::int64_t boot_ms) {
    now_ms_ = now_ms;
    boot_ms_ = boot_ms;
    slew_tenths_ = 0;
  }

  void advance(std::int64_t boot_ms, std::int64_t target_ms) {
    const std::int64_t elapsed = std::max<std::int64_t>(0, boot_ms - boot_ms_);
    boot_ms_ += elapsed;
    now_ms_ += elapsed;
    slew_tenths_ += elapsed;
    const std::int64_t allowed = slew_tenths_ / 10;
    const std::int64_t slew = std::clamp(target_ms - now_ms_, -allowed, allowed);
    now_ms_ += slew;
    slew_tenths_ -= allowed * 10;
  }

  std::int64_t now_ms() const { return now_ms_; }
  std::int64_t boot_ms() const { return boot_ms_; }

 private:
  std::int64_t now_ms_ = 0;
  std::int64_t boot_ms_ = 0;
  std::int64_t slew_tenths_ =
      0;  ///< tenths of a ms that may be slewed; below one ms they are carried over
};

/// The time of entries: it starts at max(newest entry's time, wall) and is drawn to the wall clock.
class LogicalClock {
 public:
  void start(Now now, std::int64_t last_entry_ms) {
    clock_.start(std::max(now.wall_ms, last_entry_ms), now.boot_ms);
  }
  void advance(Now now) { clock_.advance(now.boot_ms, now.wall_ms); }
  std::int64_t now_ms() const { return clock_.now_ms(); }
  std::int64_t boot_ms() const { return clock_.boot_ms(); }
  /// The boot time at which this clock reaches `ms`, when the wall clock agrees with it.
  std::int64_t boot_at(std::int64_t ms) const {
    return boot_ms() + std::max<std::int64_t>(0, ms - now_ms());
  }

 private:
  SlewedClock clock_;
};

/// The time by which messages grow old: it is drawn to the logical clock. A stop of over a minute does not count, nor does
/// what it was behind before: so neither a long stop nor a wall clock that is set makes everything old at once.
class RetentionClock {
 public:
  static constexpr std::int64_t kStopMs = 60'000;

  /// `last_entry_ms`: of the newest entry, 0 when there is none; `behind_ms`: as it was then.
  void start(Now now, std::int64_t last_entry_ms, std::int64_t logical_ms, std::int64_t behind_ms) {
    const bool stopped = last_entry_ms != 0 && now.wall_ms - last_entry_ms > kStopMs;
    clock_.start((stopped ? last_entry_ms : logical_ms) - behind_ms, now.boot_ms);
  }
  void advance(std::int64_t boot_ms, std::int64_t logical_ms) {
    clock_.advance(boot_ms, logical_ms);
  }
  std::int64_t now_ms() const { return clock_.now_ms(); }

 private:
  SlewedClock clock_;
};

}  // namespace tally::broker
