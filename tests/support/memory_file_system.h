#pragma once
// A file system in memory that knows what a disk would hold: written bytes, sizes and names reach
// the "disk" only with a sync, and a crash image holds of the rest nothing, everything, or any part.
//
// Operation: use it as a FileSystem; inject() makes an operation fail or the machine stop;
// after_crash() gives what the next boot finds, at any time. A sync that fails forgets what it
// should have written but leaves it readable until drop_cache(), as Linux does. Images share their
// pages, so that one costs about a microsecond.
// Concurrency: thread-safe.

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "store/file_system.h"
#include "tests/support/memory_inode.h"

namespace tally::testing {

/// The calls of the seam.
enum class FileCall : std::uint8_t {
  // These change something.
  kCreate,
  kWrite,
  kSync,
  kAllocate,
  kWriteZeroes,
  kTruncate,
  kRename,
  kRemove,
  kSyncDirectory,
  // These don't.
  kOpen,
  kRead,
  kSize,
  kDataEnd,
  kDropCache,
  kList,
  kExists,
  kMakeDirectories,
  kLock,
  kDiskSpace,
};
inline constexpr std::size_t kFileCalls = static_cast<std::size_t>(FileCall::kDiskSpace) + 1;
const char* name(FileCall call);
constexpr bool is_sync(FileCall call) {
  return call == FileCall::kSync || call == FileCall::kSyncDirectory;
}
constexpr bool changes_something(FileCall call) { return call <= FileCall::kSyncDirectory; }

/// Operation `number` (counted from 0) fails.
struct Fault {
  std::uint64_t number = 0;
  ErrorCode code = ErrorCode::kIo;
  bool for_ever = false;  ///< so do all later ones: the machine stopped, or the disk died
  /// Only calls of this kind count; nothing: all that change something.
  std::optional<FileCall> call{};
  /// A write that fails has written its first half. Without it all (IO_ERROR: the machine stopped
  /// in the middle) or nothing (DISK_FULL).
  bool half_written = false;
};

class MemoryFileSystem final : public store::FileSystem {
 public:
  MemoryFileSystem();
  ~MemoryFileSystem() override;

  Result<std::unique_ptr<store::File>> open(const std::string& path, Mode mode) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Result<bool> exists(const std::string& path) override;
  Result<void> make_directories(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<std::unique_ptr<store::File>> lock(const std::string& path) override;
  Result<store::DiskSpace> disk_space(const std::string& directory) override;

  void inject(const Fault& fault);
  void heal();  ///< no fault any more
  /// Whether the fault was met.
  bool failed() const;
  /// Calls that changed something, failed ones included.
  std::uint64_t operations() const;
  std::uint64_t calls(FileCall call) const;
  /// Bytes of all files together; over it DISK_FULL.
  void set_capacity(std::uint64_t bytes);
  void set_full(bool full);  ///< capacity is what is used now, or has no end
  /// read_cached() finds nothing.
  void set_cold(bool cold);
  /// drop_cache() does nothing, as for pages that somebody else uses.
  void set_cache_kept(bool kept);

  /// Called after each call that changes something, and before each sync, on the thread that
  /// observes. Empty: nobody.
  void observe(std::function<void(FileCall)> observer);
  /// Whether all images of this moment are equal.
  bool is_synced() const;
  std::unique_ptr<MemoryFileSystem> after_crash(const CrashKeeps& keeps) const;

  // For tests that look at files or damage them; what they change counts as synced.
  std::vector<std::string> paths() const;  ///< of all files, sorted
  std::string content(const std::string& path) const;
  void set_content(const std::string& path, std::string content);
  /// The bytes of an existing file, open or not.
  void damage(const std::string& path, std::uint64_t position, std::string_view bytes);
  void cut(const std::string& path, std::uint64_t bytes);

 private:
  friend class MemoryFile;
  using Names = std::map<std::string, std::shared_ptr<MemoryInode>>;

  struct NameChange {
    std::uint64_t moment = 0;
    std::string removed{};  ///< empty: none
    std::string added{};    ///< empty: none
    std::shared_ptr<MemoryInode> inode{};
    void apply(Names& names) const;
  };

  struct Directory {
    Names now{};
    Names durable{};
    std::vector<NameChange> pending{};
    void change(NameChange change);
  };

  /// Counts a call; an error when it was chosen to fail.
  Result<void> count(FileCall call, const std::string& path);
  /// Counts, runs `body` under the lock, and tells the observer.
  template <typename Body>
  auto perform(FileCall call, const std::string& path, Body body) -> decltype(body());
  std::uint64_t used() const;
  Result<void> make_room(std::uint64_t more, const std::string& path) const;
  std::shared_ptr<MemoryInode> find(const std::string& path) const;
  Directory* directory_of(const std::string& path);
  std::uint64_t first_moment() const;

  mutable std::mutex mutex_{};
  std::map<std::string, Directory> directories_{};
  std::set<std::string> locks_{};
  std::optional<Fault> fault_{};
  bool failed_ = false;
  std::uint64_t operations_ = 0;
  std::array<std::uint64_t, kFileCalls> calls_{};
  std::uint64_t capacity_;
  bool cold_ = false;
  bool cache_kept_ = false;
  std::function<void(FileCall)> observer_{};
  std::thread::id observing_{};
};

}  // namespace tally::testing
