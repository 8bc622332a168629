#pragma once
// Reads a part of the log once more, entry by entry, while the log is written: record headers and
// extensions, no messages. One thread; owns a buffer of the largest entry, and holds the segments
// that it reads.

#include <memory>
#include <optional>
#include <tally/result.hpp>

#include "store/segment.h"
#include "store/segment_scan.h"

namespace tally::store {

class EntryWalk {
 public:
  /// Entries in [from, to). Both are ends of entries; `from` may lie before the log's first
  /// segment, `to` not behind what is durable.
  EntryWalk(std::shared_ptr<const Segments> segments, Lsn from, Lsn to);

  /// The next entry, valid until the next call; null at the end. Errors: IO_ERROR; DATA_DAMAGED
  /// when no valid entry stands at at(): then the walk goes on with the next segment.
  Result<const EntryView*> next();
  /// Where the next one begins: everything before it was read.
  Lsn at() const { return at_; }

 private:
  const std::shared_ptr<const Segments> segments_;
  const Lsn to_;
  Lsn at_;
  std::size_t segment_ = 0;
  const Segment* scanned_ = nullptr;  ///< what scan_ reads
  std::optional<SegmentScan> scan_{};
};

}  // namespace tally::store
