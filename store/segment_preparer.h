#pragma once
// Makes the next segment's file before the log needs it, in a thread of its own.
//
// Operation: once the current segment is half full, the thread creates `kNextSegmentName`,
// allocates it, and writes it with zeroes as fast as the rest of the current segment fills up:
// syncs of written files cost half of those of merely allocated ones. take() hands the file over
// as it is; it waits for at most one piece of zeroes (1 MiB), never for all of them.
// Concurrency: advance() and take() by the log thread. Destruction ends the thread.
// Errors of the thread are kept to themselves: take() then makes the file, and says what is wrong.

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "store/file_system.h"

namespace tally::store {

class SegmentPreparer {
 public:
  /// Without a thread every file is made by take().
  SegmentPreparer(FileSystem& files, std::string directory, std::uint64_t segment_bytes,
                  bool with_thread);
  ~SegmentPreparer();

  /// Removes the file that an earlier process prepared and did not use.
  Result<void> remove_left_over();

  /// The current segment is filled up to `used` of `capacity`.
  void advance(std::uint64_t used, std::uint64_t capacity);

  /// A file named kNextSegmentName, at least `bytes` long. Errors: DISK_FULL, IO_ERROR.
  Result<std::unique_ptr<File>> take(std::uint64_t bytes);

 private:
  void run();
  void fill(std::unique_lock<std::mutex>& lock);
  Result<std::unique_ptr<File>> create(std::uint64_t bytes);
  std::string path() const;

  FileSystem& files_;
  const std::string directory_;
  const std::uint64_t segment_bytes_;

  std::mutex mutex_{};
  std::condition_variable changed_{};
  bool wanted_ = false;   ///< the log asked for a file
  bool failed_ = false;   ///< the thread could not make it; a little later it tries again
  bool working_ = false;  ///< the thread is outside the lock, with the file
  bool stop_ = false;
  std::uint64_t zeroes_allowed_ = 0;
  std::uint64_t zeroes_written_ = 0;
  std::unique_ptr<File> file_{};
  std::thread thread_{};
};

}  // namespace tally::store
