#pragma once
// The only source of chance in a simulation. Equal seeds give equal sequences, on every machine.

#include <cstdint>

namespace tally::simulation {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {  // splitmix64
    std::uint64_t value = (state_ += 0x9e3779b97f4a7c15);
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
  }
  std::uint64_t below(std::uint64_t limit) { return next() % limit; }
  /// In [least, most].
  std::int64_t between(std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(most - least) + 1));
  }
  /// `probability` in [0, 1].
  bool chance(double probability) {
    return static_cast<double>(next() >> 11) * 0x1.0p-53 < probability;
  }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  /// An independent sequence, so that more draws here change nothing there.
  Random fork() { return Random(next()); }

 private:
  std::uint64_t state_;
};

}  // namespace tally::simulation
