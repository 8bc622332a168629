#pragma once
// Delays that double, with a cap, spread by a hash so that equal histories give equal delays.

#include <algorithm>
#include <cstdint>

namespace tally::broker {

/// splitmix64's finaliser: a bijection, so distinct values stay distinct.
constexpr std::uint64_t mix(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15ull;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ull;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBull;
  return value ^ (value >> 31);
}

/// base × 2^doublings, at most `max_ms`, then ± 20 % by `hash`.
constexpr std::int64_t backoff_ms(std::int64_t base_ms, std::uint32_t doublings,
                                  std::int64_t max_ms, std::uint64_t hash) {
  std::int64_t delay = std::min(base_ms, max_ms);
  for (std::uint32_t i = 0; i < doublings && delay < max_ms; ++i)
    delay = std::min(delay * 2, max_ms);
  const auto permille = static_cast<std::int64_t>(mix(hash) % 401) + 800;
  return delay / 1000 * permille + delay % 1000 * permille / 1000;
}

}  // namespace tally::broker
