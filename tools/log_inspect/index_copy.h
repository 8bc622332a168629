#pragma once
// An index in a temporary folder, because opening one changes its files. Its tables, which LevelDB
// never changes, are only linked to. May be made while a broker writes the original.

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "store/index_store.h"

namespace tally::tools {

/// Removed with all in it; a symbolic link is removed and not followed.
class TemporaryFolder {
 public:
  /// In $TMPDIR or /tmp. Errors: IO_ERROR.
  static Result<TemporaryFolder> make();
  ~TemporaryFolder();
  TemporaryFolder(TemporaryFolder&& other) noexcept
      : path_(std::exchange(other.path_, std::filesystem::path())) {}
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

struct IndexCopy {
  TemporaryFolder folder;
  std::size_t files = 0;
  std::uint64_t bytes = 0;
  std::unique_ptr<store::IndexStore> index{};
};

/// Errors: those of open_leveldb_index().
Result<IndexCopy> copy_index(const std::string& directory);

}  // namespace tally::tools
