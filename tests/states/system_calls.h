#pragma once
// System calls that fail, are interrupted, or do a part of their work, under the real file system.
// Linked into a test program, it stands in front of the C library's functions; without a fault it
// passes every call on. One thread.

#include <cstdint>
#include <string_view>

namespace tally::testing {

struct SystemCallFault {
  std::string_view call{};   ///< "pwritev", "fdatasync" …; empty: every call is counted
  std::uint64_t number = 0;  ///< the call that fails, counted from 0
  int error = 0;             ///< errno
  bool for_ever = false;     ///< so do all later ones
};

/// From now on; counts from 0 again.
void inject_system_call(const SystemCallFault& fault);
/// Reads and writes do at most so many bytes, and each second call is interrupted first; 0: no.
void hinder_system_calls(std::uint64_t bytes_max);
void heal_system_calls();
bool system_call_failed();  ///< whether the fault was met

}  // namespace tally::testing
