#pragma once
// Reads a segment from front to back, entry by entry. One thread; owns its buffer, which grows to
// the largest entry and goes with the scan.

#include <optional>
#include <string>
#include <string_view>
#include <tally/result.hpp>

#include "store/entry_check.h"
#include "store/segment.h"

namespace tally::store {

/// A part of a file in memory, moved forward by whole pieces.
class FileWindow {
 public:
  FileWindow(const Segment& segment, std::size_t piece_bytes)
      : segment_(segment), piece_bytes_(piece_bytes) {}
  /// The bytes at `position`; fewer only at the end of the file. Valid until the next call.
  Result<std::string_view> at(std::uint64_t position, std::size_t size);

 private:
  const Segment& segment_;
  std::size_t piece_bytes_;
  std::string buffer_{};
  std::uint64_t start_ = 0;
  std::size_t filled_ = 0;
};

class SegmentScan {
 public:
  explicit SegmentScan(const Segment& segment);
  /// Reads and checks the entry at `lsn`, which must end at `limit` or before. Nothing: it is
  /// valid and stands in entry() until the next call.
  Result<std::optional<Stop>> read(Lsn lsn, Lsn limit, std::optional<EntryIndex> index,
                                   bool check_blocks);
  const CheckedEntry& entry() const { return entry_; }

 private:
  const Segment& segment_;
  FileWindow window_;
  CheckedEntry entry_{};
};

/// Follows entry heads without reading records, from the segment's base to `end`. The header of
/// the entry that ends exactly there; nothing when that cannot be said for sure.
Result<std::optional<EntryHeader>> skip_to(const Segment& segment, Lsn end);

/// What stands in a segment from a position to the end of its data.
struct Remainder {
  std::uint64_t used_end = 0;  ///< position behind the last byte that is not 0; 0: none
  std::uint64_t heads = 0;     ///< valid entry heads, the one at the position itself included
  struct Witness {
    Lsn entry{};
    Lsn durable{};
  };
  std::optional<Witness> witness{};  ///< the first head that says: what begins at `lsn` was durable
};
Result<Remainder> search_remainder(const Segment& segment, Lsn lsn, std::uint64_t data_end);

}  // namespace tally::store
