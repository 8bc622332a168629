#pragma once
// A file that keeps room for the index: it is removed when the index finds the disk full, so that checkpoints, and the next
// start, can go on while the log uses its reserve.
//
// Owned by the shard. Thread-safe: the index thread gives and makes it, the log's own thread makes it when there is space
// again. Errors: IO_ERROR.

#include <cstdint>
#include <mutex>
#include <string>

#include "store/file_system.h"

namespace tally::broker {

class IndexRoom {
 public:
  IndexRoom(store::FileSystem& files, std::string path, std::uint64_t bytes)
      : files_(files), path_(std::move(path)), bytes_(bytes) {}

  /// Makes it unless it exists or the disk has no room for it.
  Result<void> make();
  /// Gives it to the index. False: there was none.
  Result<bool> give();

 private:
  Result<bool> remove();

  store::FileSystem& files_;
  const std::string path_;
  const std::uint64_t bytes_;
  std::mutex mutex_{};
};

}  // namespace tally::broker
