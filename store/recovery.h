#pragma once
// Recovery: finds out what a log directory holds (examine_log, which changes nothing), and makes it
// ready to append (repair_log). One thread.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <tally/result.hpp>

#include "store/entry_check.h"
#include "store/log.h"
#include "store/segment.h"

namespace tally::store {

/// What examine_log() found out.
struct Examined {
  RecoveryReport report{};
  Lsn end{};  ///< of the last valid entry
  EntryIndex last_index{};
  std::int64_t last_time_ms = 0;
  Lsn durable{};  ///< everything before was durable for sure; up to `end` it is only readable
  std::uint64_t garbage_begin = 0;  ///< of a torn tail: positions in the last segment's file
  std::uint64_t garbage_end = 0;
};

struct ExamineOptions {
  ReplayFrom from{};
  Lsn durable_for_sure{};   ///< as in LogOptions
  bool all_blocks = false;  ///< check the messages of every segment, not only of the last
  /// Begin at the first entry there is, wherever retention left it; `from` is not looked at.
  bool from_first = false;
  bool first_look = false;  ///< read only the last segment, and only to its first zeroes
  /// Called for each valid entry after `from`.
  std::function<Result<void>(const Segment&, const CheckedEntry&)> visit{};
};

/// Reads the log from the checkpoint to its end. Errors: DATA_DAMAGED and DATA_FORMAT by the rules
/// in recovery_rules.h, IO_ERROR, and those of `visit`.
Result<Examined> examine_log(const Segments& segments, const ExamineOptions& options);

/// Cuts a torn tail, and writes again what is readable but perhaps only cached.
Result<void> repair_log(FileSystem& files, const std::string& directory, const Segments& segments,
                        const Examined& examined);

}  // namespace tally::store
