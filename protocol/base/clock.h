#pragma once
// The only place that asks the machine for the time. Everything else is given a Clock or a number.

#include <cstdint>

namespace tally {

class Clock {
 public:
  virtual ~Clock() = default;
  /// Milliseconds since the Unix epoch; may step either way.
  virtual std::int64_t wall_ms() const = 0;
  /// CLOCK_BOOTTIME in microseconds; never steps, counts while suspended.
  virtual std::int64_t boot_us() const = 0;
  std::int64_t boot_ms() const { return boot_us() / 1000; }
};

/// The machine's clocks. Thread-safe; lives for the whole program.
const Clock& system_clock();

}  // namespace tally
