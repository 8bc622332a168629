#pragma once
// Latencies in fixed memory: 32 buckets per power of two, so a quantile is at most 1/32 too high.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace tally::cli {

class Histogram {
 public:
  void add(std::uint64_t value) {
    ++counts_[bucket(value)];
    ++count_;
    max_ = std::max(max_, value);
  }
  std::uint64_t count() const { return count_; }
  std::uint64_t max() const { return max_; }

  /// The upper bound of the bucket in which the q-th part of all values ends; 0 when there are none. `q` in [0, 1].
  std::uint64_t quantile(double q) const {
    auto rank = static_cast<std::uint64_t>(q * static_cast<double>(count_));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > rank || (seen == count_ && seen > 0)) return std::min(upper_bound(i), max_);
    }
    return 0;
  }

 private:
  static constexpr unsigned kSubBits = 5;
  static constexpr std::uint64_t kSub = 1u << kSubBits;

  static std::size_t bucket(std::uint64_t value) {
    if (value < kSub) return value;
    unsigned shift = static_cast<unsigned>(std::bit_width(value)) - 1 - kSubBits;
    return (shift + 1) * kSub + (value >> shift) - kSub;
  }
  static std::uint64_t upper_bound(std::size_t index) {
    if (index < kSub) return index;
    std::uint64_t shift = index / kSub - 1;
    return ((kSub + index % kSub + 1) << shift) - 1;
  }

  std::array<std::uint64_t, (64 - kSubBits + 1) * kSub> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace tally::cli
