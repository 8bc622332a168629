#pragma once
// Torn or damaged? The decision of recovery as one table: where the entries of the log stop, and
// what is known about later bytes, give what to do. Every combination stands in exactly one row.
//
// A stop is torn, and may be cut, only while nothing says that the entry there was durable. Four
// things can say so: the head of a later entry, the header of a later segment (a segment is named
// only when all before it is durable), the index's checkpoint or a base, and the log's own order.

#include <array>
#include <cstdint>

#include "store/entry_check.h"

namespace tally::store {

/// What is known about the bytes after a stop.
enum class Later : std::uint8_t {
  kZeros,       ///< nothing but zeroes up to the end of the last segment
  kNoWitness,   ///< bytes, none of which says that the stop was durable
  kEntry,       ///< a later entry says that the stop was durable
  kSegment,     ///< a later segment exists, so the stop was durable
  kCheckpoint,  ///< the index's checkpoint, or a base, lies behind the stop: it was durable
};
inline constexpr std::array kLaters = {Later::kZeros, Later::kNoWitness, Later::kEntry,
                                       Later::kSegment, Later::kCheckpoint};

enum class Verdict : std::uint8_t {
  kServe,          ///< the log ends here, cleanly
  kCut,            ///< torn: zero what follows, sync, serve
  kRefuseDamaged,  ///< acknowledged bytes are damaged: change nothing
  kRefuseFormat,   ///< not ours to judge: change nothing
};

struct RecoveryRule {
  Stop stop;
  Later later;
  Verdict verdict;
};

inline constexpr std::array kRecoveryRules = {
    RecoveryRule{Stop::kNoRoom, Later::kZeros, Verdict::kServe},
    RecoveryRule{Stop::kNoRoom, Later::kNoWitness, Verdict::kCut},
    RecoveryRule{Stop::kNoRoom, Later::kEntry, Verdict::kRefuseDamaged},
    RecoveryRule{Stop::kNoRoom, Later::kSegment, Verdict::kRefuseDamaged},
    RecoveryRule{Stop::kNoRoom, Later::kCheckpoint, Verdict::kRefuseDamaged},

    RecoveryRule{Stop::kZeros, Later::kZeros, Verdict::kServe},
    RecoveryRule{Stop::kZeros, Later::kNoWitness, Verdict::kCut},
    RecoveryRule{Stop::kZeros, Later::kEntry, Verdict::kRefuseDamaged},
    RecoveryRule{Stop::kZeros, Later::kSegment, Verdict::kRefuseDamaged},
    RecoveryRule{Stop::kZeros, Later::kCheckpoint, Verdict::kRefuseDamaged},

    // The stop's own bytes are not 0; there are no witnesses among them.
    RecoveryRule{Stop::kBadHead, Later::kZeros, Verdict::kCut},
    RecoveryRule{Stop::kBadHead, Later::kNoWitness, Verdict::kCut},
    RecoveryRule{Stop::kBadHead, Later::kEntry, Verdict::kRefuseDamaged},
    RecoveryRule{Stop::kBadHead, Later::kSegment, Verdict::kRefuseDamaged},
    RecoveryRule{Stop::kBadHead, Later::kCheckpoint, Verdict::kRefuseDamaged},

    RecoveryRule{Stop::kBadRecords, Later::kZeros, Verdict::kCut},
    RecoveryRule{Stop::kBadRecords, Later::kNoWitness, Verdict::kCut},
    RecoveryRule{Stop::kBadRecords, Later::kEntry, Verdict::kRefuseDamaged},
    RecoveryRule{Stop::kBadRecords, Later::kSegment, Verdict::kRefuseDamaged},
    RecoveryRule{Stop::kBadRecords, Later::kCheckpoint, Verdict::kRefuseDamaged},

    RecoveryRule{Stop::kBadPreamble, Later::kZeros, Verdict::kCut},
    RecoveryRule{Stop::kBadPreamble, Later::kNoWitness, Verdict::kCut},
    RecoveryRule{Stop::kBadPreamble, Later::kEntry, Verdict::kRefuseDamaged},
    RecoveryRule{Stop::kBadPreamble, Later::kSegment, Verdict::kRefuseDamaged},
    RecoveryRule{Stop::kBadPreamble, Later::kCheckpoint, Verdict::kRefuseDamaged},

    RecoveryRule{Stop::kBadBlock, Later::kZeros, Verdict::kCut},
    RecoveryRule{Stop::kBadBlock, Later::kNoWitness, Verdict::kCut},
    RecoveryRule{Stop::kBadBlock, Later::kEntry, Verdict::kRefuseDamaged},
    RecoveryRule{Stop::kBadBlock, Later::kSegment, Verdict::kRefuseDamaged},
    RecoveryRule{Stop::kBadBlock, Later::kCheckpoint, Verdict::kRefuseDamaged},

    // No write that was cut short leaves a whole valid entry of the wrong order.
    RecoveryRule{Stop::kOutOfOrder, Later::kZeros, Verdict::kRefuseDamaged},
    RecoveryRule{Stop::kOutOfOrder, Later::kNoWitness, Verdict::kRefuseDamaged},
    RecoveryRule{Stop::kOutOfOrder, Later::kEntry, Verdict::kRefuseDamaged},
    RecoveryRule{Stop::kOutOfOrder, Later::kSegment, Verdict::kRefuseDamaged},
    RecoveryRule{Stop::kOutOfOrder, Later::kCheckpoint, Verdict::kRefuseDamaged},

    RecoveryRule{Stop::kNewerRules, Later::kZeros, Verdict::kRefuseFormat},
    RecoveryRule{Stop::kNewerRules, Later::kNoWitness, Verdict::kRefuseFormat},
    RecoveryRule{Stop::kNewerRules, Later::kEntry, Verdict::kRefuseFormat},
    RecoveryRule{Stop::kNewerRules, Later::kSegment, Verdict::kRefuseFormat},
    RecoveryRule{Stop::kNewerRules, Later::kCheckpoint, Verdict::kRefuseFormat},
};

constexpr Verdict recovery_verdict(Stop stop, Later later) {
  for (const RecoveryRule& rule : kRecoveryRules) {
    if (rule.stop == stop && rule.later == later) return rule.verdict;
  }
  return Verdict::kRefuseDamaged;
}

}  // namespace tally::store
