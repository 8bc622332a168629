#include "tools/log_inspect/index_copy.h"

#include <cerrno>
#include <cstdlib>
#include <set>
#include <system_error>

namespace tally::tools {
namespace {

namespace fs = std::filesystem;

constexpr int kLooksMax = 5;

Error failed(const std::string& action, const fs::path& path, const std::error_code& failure) {
  const bool refused = failure == std::errc::permission_denied;
  return Error(refused ? ErrorCode::kDataUnusable : ErrorCode::kIo,
               action + " " + path.string() + ": " + failure.message());
}

Result<std::set<fs::path>> names_in(const fs::path& directory) {
  std::error_code failure;
  std::set<fs::path> names;
  for (fs::directory_iterator at(directory, failure); !failure && at != fs::directory_iterator();
       at.increment(failure)) {
    names.insert(at->path().filename());
  }
  if (failure) return failed("list", directory, failure);
  return names;
}

/// Whatever it is that LevelDB writes into: its log, its manifest, the name of the manifest.
bool changes(const fs::path& name) { return name.extension() != ".ldb"; }
/// Its lock is the broker's, and its messages are nobody's.
bool is_needed(const fs::path& name) {
  return name != "LOCK" && name != "LOG" && name != "LOG.old";
}

Result<std::uint64_t> copy_or_link(const fs::path& from, const fs::path& to) {
  std::error_code failure;
  const std::uint64_t bytes = fs::file_size(from, failure);
  if (failure) return failed("look at", from, failure);
  if (changes(from)) {
    fs::copy_file(from, to, failure);
  } else {
    fs::create_symlink(fs::canonical(from, failure), to, failure);
  }
  if (failure) return failed("copy", from, failure);
  return bytes;
}

Result<IndexCopy> copy_once(const std::string& directory) {
  TALLY_TRY(TemporaryFolder folder, TemporaryFolder::make());
  IndexCopy copy{.folder = std::move(folder)};
  TALLY_TRY(const auto names, names_in(directory));
  for (const fs::path& name : names) {
    if (!is_needed(name)) continue;
    TALLY_TRY(const std::uint64_t bytes, copy_or_link(directory / name, copy.folder.path() / name));
    ++copy.files;
    copy.bytes += bytes;
  }
  TALLY_TRY(const auto names_after, names_in(directory));
  if (names != names_after) return Error(ErrorCode::kIo, directory + " changes all the time");
  TALLY_TRY(copy.index,
            store::open_leveldb_index(store::real_file_system(), copy.folder.path().string()));
  return copy;
}

}  // namespace

Result<TemporaryFolder> TemporaryFolder::make() {
  std::error_code failure;
  const fs::path parent = fs::temp_directory_path(failure);
  if (failure) return failed("use", parent, failure);
  std::string name = (parent / "log-inspect-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) {
    return failed("create", name, std::error_code(errno, std::generic_category()));
  }
  return TemporaryFolder(name);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

/// A broker may have written between two of our reads; true damage stays.
Result<IndexCopy> copy_index(const std::string& directory) {
  for (int look = 1;; ++look) {
    auto copy = copy_once(directory);
    if (copy || look == kLooksMax) return copy;
  }
}

}  // namespace tally::tools
