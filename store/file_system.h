#pragma once
// The seam between the store and the operating system's files: the real one, and test doubles that
// forget, fail and fill up.
//
// Every call may fail with IO_ERROR or DISK_FULL, and those that name a path with DATA_UNUSABLE: no
// permission, or no directory there. A File is used by one thread at a time except read(), which is
// thread-safe.

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tally/result.hpp>
#include <vector>

namespace tally::store {

class File {
 public:
  virtual ~File() = default;
  /// Writes all of it at `position` (loops over short writes).
  virtual Result<void> write(std::uint64_t position, std::span<const iovec> pieces) = 0;
  /// Reads up to `size` bytes; fewer only at the end of the file.
  virtual Result<std::size_t> read(std::uint64_t position, char* to, std::size_t size) const = 0;
  /// Like read(), from the page cache only: nothing (not an error) when the bytes would have to
  /// come from the disk.
  virtual Result<std::optional<std::size_t>> read_cached(std::uint64_t position, char* to,
                                                         std::size_t size) const = 0;
  /// From here on the file is 0 for sure: allocated at most, never written. Cached pages may hide
  /// that, so ask before reading.
  virtual Result<std::uint64_t> data_end() const = 0;
  virtual Result<void> sync() = 0;  ///< fdatasync
  /// Grows the file; its new bytes are 0, and writing them later needs no more room.
  virtual Result<void> allocate(std::uint64_t bytes) = 0;
  /// Writes zeroes past the page cache where that is possible. Position and size: whole pages that
  /// nobody else writes meanwhile.
  virtual Result<void> write_zeroes(std::uint64_t position, std::uint64_t bytes) = 0;
  virtual Result<void> truncate(std::uint64_t bytes) = 0;  ///< makes the file shorter
  virtual Result<std::uint64_t> size() const = 0;
  virtual Result<void> drop_cache() = 0;  ///< posix_fadvise DONTNEED of the whole file
};

struct DiskSpace {
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;  ///< for this process; others may take them at any moment
};

/// Where files stand, and what that is worth.
struct Volume {
  enum class Kind : std::uint8_t {
    kDisk,
    kMemory,  ///< nothing survives a reboot
    kRemote,  ///< another machine or program keeps the files: its locks and syncs may lie
  } kind = Kind::kDisk;
  std::string_view type{};  ///< "tmpfs", "nfs", …; empty: a disk's
  bool writable = true;     ///< this process may add files there
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  enum class Mode : std::uint8_t { kRead, kReadWrite, kCreate };  ///< kCreate: must not exist
  virtual Result<std::unique_ptr<File>> open(const std::string& path, Mode mode) = 0;
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;  ///< sorted
  virtual Result<bool> exists(const std::string& path) = 0;
  /// Makes it and its parents; the names of new ones are synced.
  virtual Result<void> make_directories(const std::string& path) = 0;
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<void> remove(const std::string& path) = 0;  ///< a file, or an empty directory
  virtual Result<void> sync_directory(const std::string& path) = 0;
  /// An exclusive lock that lives as long as the returned object. Error: DATA_LOCKED.
  virtual Result<std::unique_ptr<File>> lock(const std::string& path) = 0;
  virtual Result<DiskSpace> disk_space(const std::string& directory) = 0;
  /// Of a directory that exists. Doubles are disks.
  virtual Result<Volume> describe(const std::string& /*directory*/) { return Volume{}; }
};

/// The machine's own. Thread-safe; lives for the whole program.
FileSystem& real_file_system();

}  // namespace tally::store
