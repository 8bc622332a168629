#pragma once
// Damage to the files of a stopped store, and of a running one: bits flipped, sectors erased,
// exchanged, written twice, files cut short. A start refuses, or rebuilds the index, or serves
// exactly what was acknowledged; it may cut a tail only when nothing that is left says that the
// tail was durable. No message is ever read as another one.

#include <cstdint>
#include <string>
#include <vector>

namespace tally::testing {

struct Corruptions {
  std::uint64_t corruptions = 0;
  std::uint64_t refused = 0;
  std::uint64_t rebuilt = 0;  ///< the index was found damaged
  std::uint64_t cut = 0;      ///< the last entries are gone, and nothing was left to say so
  std::vector<std::string> violations{};
};

Corruptions run_corruptions(std::uint64_t count);

}  // namespace tally::testing
