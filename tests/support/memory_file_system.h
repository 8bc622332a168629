#pragma once
// A file system in memory that knows what a disk would hold: written bytes, sizes and names reach
// the "disk" only with a sync, and a crash image holds of the rest nothing, everything, or any part.
//
// Operation: use it as a FileSystem; inject() makes an operation fail or the machine stop;
// after_crash() gives what the next boot finds. A sync that fails forgets what it should have
// written but leaves it readable until drop_cache(), as Linux does.
// Concurrency: thread-safe.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "store/file_system.h"

namespace tally::testing {

/// What a crash keeps of all that was not synced.
struct CrashKeeps {
  enum class Part : std::uint8_t { kNothing, kEverything, kRandom } part = Part::kNothing;
  std::uint64_t seed = 0;  ///< kRandom: which 512-byte sectors, sizes and names
};

/// Operation `number` (counted from 0, reads do not count) fails.
struct Fault {
  std::uint64_t number = 0;
  ErrorCode code = ErrorCode::kIo;
  bool for_ever = false;  ///< so do all later ones: the machine stopped, or the disk died
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
  std::uint64_t operations() const;
  /// Bytes of all files together; over it DISK_FULL.
  void set_capacity(std::uint64_t bytes);
  /// read_cached() finds nothing.
  void set_cold(bool cold);

  std::unique_ptr<MemoryFileSystem> after_crash(const CrashKeeps& keeps) const;

  // For tests that look at a file or damage it; the content counts as synced.
  std::string content(const std::string& path) const;
  void set_content(const std::string& path, std::string content);

 private:
  friend class MemoryFile;
  struct Change;
  struct Inode;
  using Names = std::map<std::string, std::shared_ptr<Inode>>;

  struct NameChange {
    std::string removed{};  ///< empty: none
    std::string added{};    ///< empty: none
    std::shared_ptr<Inode> inode{};
    void apply(Names& names) const;
  };

  struct Directory {
    Names now{};
    Names durable{};
    std::vector<NameChange> pending{};
    void change(NameChange change);
  };

  /// Counts an operation; an error when it was chosen to fail.
  Result<void> operate(const std::string& what);
  std::uint64_t used() const;
  Result<void> make_room(std::uint64_t more, const std::string& path);
  std::shared_ptr<Inode> find(const std::string& path) const;
  Directory* directory_of(const std::string& path);

  mutable std::mutex mutex_{};
  std::map<std::string, Directory> directories_{};
  std::set<std::string> locks_{};
  std::optional<Fault> fault_{};
  std::uint64_t operations_ = 0;
  std::uint64_t capacity_;
  bool cold_ = false;
};

}  // namespace tally::testing
