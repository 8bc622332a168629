#pragma once
// The load of a benchmark: C connections with W requests in flight each, one thread for all.

#include <atomic>
#include <cstdint>
#include <string>
#include <tally/result.hpp>

#include "tools/tally/bench/histogram.h"

namespace tally::cli {

struct LoadOptions {
  enum class Kind : std::uint8_t { kPublish, kTransaction, kPrepare };
  Kind kind{};
  std::string broker{};
  std::string topic{};
  std::uint64_t messages = 0;  ///< in all
  std::uint32_t size = 0;      ///< of a body, bytes
  std::uint32_t connections = 0;
  std::uint32_t window = 0;  ///< per connection
};

struct LoadResult {
  double seconds = 0;
  Histogram latency_us{};  ///< a transaction: from PREPARE to the answer to END
  std::uint64_t refused = 0;
  Error first_refusal{};  ///< when there was one
};

/// Runs the load to its end; `done` counts up meanwhile, for a progress bar. Error: when it could not begin.
Result<LoadResult> run_load(const LoadOptions& options, std::atomic<std::uint64_t>& done);

}  // namespace tally::cli
