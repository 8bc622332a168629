#pragma once
// Makes the end of a log look like a write that the power cut interrupted.

#include <functional>
#include <random>
#include <string>
#include <tally/result.hpp>

#include "store/entry.h"

namespace tally::test {

/// Behind the last byte that anything says was durable (`promised` entries, heads of later entries,
/// the index, bases) each sector stays, is zeroed or gets random bytes; some more behind the last
/// entry get random bytes. Of a data directory that no broker uses; a log that is not there stays so.
/// Errors: those of reading a log.
Result<void> tear_tail(const std::string& data_dir,
                       const std::function<bool(const store::EntryView&)>& promised,
                       std::mt19937_64& random);

}  // namespace tally::test
