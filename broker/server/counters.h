#pragma once
// Counters of the process, for Stats. Written by the threads once per batch, read by the core thread.

#include <atomic>
#include <cstdint>

namespace tally::broker {

struct Counters {
  using Value = std::atomic<std::uint64_t>;
  // I/O threads
  Value sessions = 0;  ///< open now
  Value reads = 0, frames = 0, bytes_read = 0;
  Value writes = 0, replies = 0, bytes_written = 0;
  Value cold_grants = 0;  ///< had to be read from the disk
  // Log thread
  Value syncs = 0, entries = 0, records = 0, log_bytes = 0, rolls = 0;
  Value log_end = 0;  ///< LSN
  // Threads of the log
  Value space = 0;               ///< store::Space
  Value space_low_ms = 0;        ///< sends were refused for lack of space, without the present time
  Value space_low_since_ms = 0;  ///< boot time; 0: they are taken
  // Index thread
  Value checkpoints = 0, loads = 0;
  Value bases = 0;                         ///< that exist
  Value log_first = 0, cut_keep_from = 0;  ///< LSNs
};

inline void add(Counters::Value& counter, std::uint64_t n) {
  counter.fetch_add(n, std::memory_order_relaxed);
}
inline std::uint64_t read(const Counters::Value& counter) {
  return counter.load(std::memory_order_relaxed);
}

}  // namespace tally::broker
