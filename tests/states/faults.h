#pragma once
// Errors of the file system under the real store: the k-th call of each kind fails once, or from
// then on, with an I/O error, without room, or half done. Nothing acknowledged is lost by it,
// whether the process starts again on a warm cache or after a power cut; after the first error of
// a write nothing is acknowledged any more.

#include <cstdint>
#include <string>
#include <vector>

namespace tally::testing {

struct Faults {
  std::uint64_t faults = 0;
  std::vector<std::string> violations{};
};

/// `with_leveldb`: a real LevelDB beside the log, whose calls fail, too.
Faults run_faults(bool with_leveldb);

}  // namespace tally::testing
