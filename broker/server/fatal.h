#pragma once
// The end of a process whose disk failed.

#include <string_view>
#include <tally/error.hpp>

namespace tally::broker {

inline constexpr int kExitArguments = 2;
inline constexpr int kExitDataRefused = 3;
inline constexpr int kExitDisk = 4;

/// Writes why, then ends the process at once with kExitDisk: nothing is acknowledged, written or synced any more.
[[noreturn]] void die_of_disk(std::string_view what, const Error& error);

}  // namespace tally::broker
