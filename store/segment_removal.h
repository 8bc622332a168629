#pragma once
// Removes the oldest segments of a log while it is written and read.
//
// Operation: each step() does one small thing: renames a segment to `<name>.gone`, syncs the
// directory, takes the segment out of the readers' list, waits until no reader holds it, shrinks
// the file by 16 MiB (one unlink of a whole segment stops a disk for 70 ms), unlinks it. One
// segment after the other, oldest first, so that a power cut never leaves a gap.
// Concurrency: one thread; the log's writer and readers go on meanwhile.
// Errors: IO_ERROR (the process must end), DISK_FULL (a later step() tries again).

#include <cstdint>
#include <memory>
#include <string>
#include <tally/result.hpp>

#include "store/log_reader.h"

namespace tally::store {

class SegmentRemoval {
 public:
  SegmentRemoval(FileSystem& files, std::string directory, std::shared_ptr<SegmentReader> reader);

  enum class Next : std::uint8_t {
    kStep,  ///< there is more to do
    kWait,  ///< for a reader: try again a little later
    kDone,  ///< no segment ends at or before `keep_from`; the last one always stays
  };
  /// What was begun is carried on, whatever `keep_from` is.
  Result<Next> step(Lsn keep_from);

  std::uint64_t bytes_removed() const { return bytes_removed_; }  ///< of files, since it was made

 private:
  enum class Stage : std::uint8_t { kNone, kRenamed, kOut, kShrinking };

  Result<Next> rename_first(Lsn keep_from);
  Result<Next> open_gone();
  Result<Next> shrink();

  FileSystem& files_;
  const std::string directory_;
  const std::shared_ptr<SegmentReader> reader_;
  Stage stage_ = Stage::kNone;
  std::string path_{};  ///< of the one that is being removed, with its new name
  std::shared_ptr<const Segment> segment_{};  ///< until no reader holds it
  std::unique_ptr<File> file_{};              ///< while it shrinks
  std::uint64_t file_bytes_ = 0;
  std::uint64_t bytes_removed_ = 0;
};

/// Finishes what an earlier process began.
Result<void> remove_gone_segments(FileSystem& files, const std::string& directory);

}  // namespace tally::store
