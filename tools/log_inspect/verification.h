#pragma once
// `log-inspect verify`: checks all that a shard has on disk, beside a broker or without one.

#include "tools/log_inspect/places.h"
#include "tools/tally/output.h"

namespace tally::tools {

/// Prints a line per part of each shard, then what is wrong. The first error that was found, after all
/// was looked at; DATA_DAMAGED and DATA_FORMAT name file and position, INDEX_DIFFERS the index.
Result<void> verify(const std::vector<ShardPlace>& places, cli::Format format);

}  // namespace tally::tools
