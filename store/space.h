#pragma once
// How much room the disk leaves the log, as its helper thread last saw it.

#include <cstdint>

namespace tally::store {

enum class Space : std::uint8_t {
  kEnough,
  kLow,      ///< no next segment can be made: new messages should be refused
  kReserve,  ///< the reserve is in use: what it holds is kept for ENDs of stored halves
};

}  // namespace tally::store
