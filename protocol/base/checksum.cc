#include "protocol/base/checksum.h"

#include <xxhash.h>

namespace tally {

std::uint64_t checksum(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::uint64_t checksum(std::string_view bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::uint32_t hash32(std::string_view text) {
  if (text.empty()) return 0;
  auto hash = static_cast<std::uint32_t>(checksum(text));
  return hash == 0 ? 1 : hash;
}

}  // namespace tally
