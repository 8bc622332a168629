#pragma once
// How long transactions took from PREPARE to their decision: a histogram with steps of an eighth of a power of two.
//
// Owned by the core; one thread. Fixed memory.

#include <array>
#include <bit>
#include <cstdint>

namespace tally::broker {

class DecisionTimes {
 public:
  void add(std::int64_t ms) {
    ++counts_[slot(ms < 0 ? 0 : static_cast<std::uint64_t>(ms))];
    ++count_;
  }
  void clear() {
    counts_.fill(0);
    count_ = 0;
  }
  /// At least `permille` of all took no longer; at most an eighth too much. 0 when there was none.
  std::uint64_t quantile_ms(std::uint64_t permille) const {
    const std::uint64_t wanted = (count_ * permille + 999) / 1000;
    std::uint64_t seen = 0;
    for (std::size_t at = 0; at < counts_.size(); ++at) {
      seen += counts_[at];
      if (seen >= wanted) return count_ == 0 ? 0 : upper(at);
    }
    return 0;
  }

 private:
  static constexpr unsigned kStepBits = 3;
  static constexpr std::size_t kSteps = std::size_t{1} << kStepBits;

  static std::size_t slot(std::uint64_t ms) {
    if (ms < kSteps) return ms;
    const auto shift = static_cast<unsigned>(std::bit_width(ms)) - 1 - kStepBits;
    return (shift + 1) * kSteps + ((ms >> shift) - kSteps);
  }
  /// The largest value of a slot.
  static std::uint64_t upper(std::size_t slot) {
    if (slot < kSteps) return slot;
    const std::size_t shift = slot / kSteps - 1;
    return ((kSteps + slot % kSteps + 1) << shift) - 1;
  }

  std::array<std::uint64_t, kSteps*(64 - kStepBits + 1)> counts_{};
  std::uint64_t count_ = 0;
};

}  // namespace tally::broker
