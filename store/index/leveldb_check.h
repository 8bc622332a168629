#pragma once
// What LevelDB takes on trust when it opens: that no batch is missing from its logs, and that its
// manifest is the newest. It passes over erased sectors without a word, and takes a manifest that
// was cut short for an older one; either would leave out rows behind a position that looks right.
//
// What may be missing afterwards is the end: the newest batches, all of them from some point on.
// That is an older checkpoint, and as good. One thread; LevelDB's lock must be held.

#include <string>
#include <tally/result.hpp>

#include "store/file_system.h"

namespace tally::store {

/// Only what LevelDB does not check itself. Errors: DATA_DAMAGED with the file, and those of `files`.
Result<void> check_leveldb(FileSystem& files, const std::string& directory);

}  // namespace tally::store
