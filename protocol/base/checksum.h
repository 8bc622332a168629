#pragma once
// XXH3-64, the one checksum of Tally's formats (seed 0).

#include <cstdint>
#include <string_view>

namespace tally {

std::uint64_t checksum(std::string_view bytes);
std::uint64_t checksum(std::string_view bytes, std::uint64_t seed);

/// 32-bit hash of a routing key or tag as stored in records: the low half of XXH3-64; 0 is reserved
/// for "none", so an empty text gives 0 and any other text that hashes to 0 gives 1.
std::uint32_t hash32(std::string_view text);

}  // namespace tally
