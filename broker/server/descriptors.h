#pragma once
// File descriptors: each open segment and each connection takes one.

#include <cstdint>

#include "broker/server/settings.h"

namespace tally::broker {

/// Raises the process's limit as far as it may; the limit then.
std::uint64_t raise_descriptor_limit();

/// A warning when `limit` is too low for so many segments and all connections that are allowed.
void warn_of_few_descriptors(std::uint64_t limit, std::uint64_t segments, const Settings& settings);

}  // namespace tally::broker
