#pragma once
// `log-inspect rebuild-compare`: does the index say what log and bases say?

#include "tools/log_inspect/places.h"
#include "tools/tally/output.h"

namespace tally::tools {

/// Rebuilds the state at the index's position in a temporary folder, from the first entry of the log or
/// the oldest base, and compares all rows. Prints counts, and the first differences. Errors:
/// INDEX_DIFFERS; DATA_LOCKED while a broker runs; INVALID_ARGUMENT without an index; DATA_DAMAGED,
/// DATA_FORMAT, DATA_UNUSABLE, IO_ERROR, DISK_FULL.
Result<void> compare_with_rebuilt(const ShardPlace& place, cli::Format format);

}  // namespace tally::tools
