#include "tests/support/memory_file_system.h"

#include <algorithm>
#include <limits>

#include "protocol/base/check.h"

namespace tally::testing {
namespace {

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }
std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Error wrong(std::string_view action, const std::string& path, std::string_view why) {
  return Error(ErrorCode::kIo, std::string(action) + " " + path + ": " + std::string(why));
}

}  // namespace

const char* name(FileCall call) {
  static constexpr std::array<const char*, kFileCalls> kNames = {
      "create",           "write",      "sync",      "allocate",
      "write zeroes",     "truncate",   "rename",    "remove",
      "sync directory",   "open",       "read",      "size",
      "data end",         "drop cache", "list",      "exists",
      "make directories", "lock",       "disk space"};
  return kNames[static_cast<std::size_t>(call)];
}

void MemoryFileSystem::NameChange::apply(Names& names) const {
  if (!removed.empty()) names.erase(removed);
  if (!added.empty()) names[added] = inode;
}

void MemoryFileSystem::Directory::change(NameChange change) {
  change.apply(now);
  pending.push_back(std::move(change));
}

MemoryFileSystem::MemoryFileSystem() : capacity_(std::numeric_limits<std::uint64_t>::max()) {}
MemoryFileSystem::~MemoryFileSystem() = default;

Result<void> MemoryFileSystem::count(FileCall call, const std::string& path) {
  const std::uint64_t of_kind = calls_[static_cast<std::size_t>(call)]++;
  const std::uint64_t of_all = operations_;
  if (changes_something(call)) ++operations_;
  if (!fault_) return {};
  if (fault_->call ? *fault_->call != call : !changes_something(call)) return {};
  const std::uint64_t number = fault_->call ? of_kind : of_all;
  const bool hit = fault_->for_ever ? number >= fault_->number : number == fault_->number;
  if (!hit) return {};
  failed_ = true;
  return Error(fault_->code, std::string(name(call)) + " " + path + ": injected fault");
}

template <typename Body>
auto MemoryFileSystem::perform(FileCall call, const std::string& path, Body body)
    -> decltype(body()) {
  const bool observed = observer_ && std::this_thread::get_id() == observing_;
  if (observed && is_sync(call)) observer_(call);
  auto result = [&]() -> decltype(body()) {
    const std::lock_guard lock(mutex_);
    TALLY_TRY_VOID(count(call, path));
    return body();
  }();
  if (observed && changes_something(call)) observer_(call);
  return result;
}

class MemoryFile final : public store::File {
 public:
  MemoryFile(MemoryFileSystem& files, std::shared_ptr<MemoryInode> inode, std::string path,
             bool is_lock)
      : files_(files), inode_(std::move(inode)), path_(std::move(path)), is_lock_(is_lock) {}
  ~MemoryFile() override {
    if (!is_lock_) return;
    const std::lock_guard lock(files_.mutex_);
    files_.locks_.erase(path_);
  }

  Result<void> write(std::uint64_t position, std::span<const iovec> pieces) override {
    std::string bytes;
    for (const iovec& piece : pieces) {
      bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
    }
    // A write that fails is counted here, because it may have done a part.
    std::optional<Error> failure;
    auto written = files_.perform(FileCall::kWrite, path_, [&]() -> Result<void> {
      TALLY_TRY_VOID(make_room(position + bytes.size()));
      inode_->write(moment(), position, std::move(bytes));
      return {};
    });
    if (!written) leave_part(position, std::move(bytes), written.error());
    return written;
  }

  Result<std::size_t> read(std::uint64_t position, char* to, std::size_t size) const override {
    return files_.perform(FileCall::kRead, path_, [&]() -> Result<std::size_t> {
      return inode_->now().read(position, to, size);
    });
  }

  Result<std::optional<std::size_t>> read_cached(std::uint64_t position, char* to,
                                                 std::size_t size) const override {
    if (files_.cold_) return std::optional<std::size_t>();
    TALLY_TRY(const std::size_t got, read(position, to, size));
    return std::optional(got);
  }

  Result<std::uint64_t> data_end() const override {
    return files_.perform(FileCall::kDataEnd, path_,
                          [&]() -> Result<std::uint64_t> { return inode_->now().data_end(); });
  }

  Result<void> sync() override {
    auto synced = files_.perform(FileCall::kSync, path_, [&]() -> Result<void> {
      inode_->sync();
      return {};
    });
    if (synced) return synced;
    const std::lock_guard lock(files_.mutex_);
    // Of a machine that stopped nobody reads anything.
    if (!files_.fault_->for_ever || files_.fault_->call) inode_->lose_unsynced();
    return synced;
  }

  Result<void> allocate(std::uint64_t bytes) override {
    return files_.perform(FileCall::kAllocate, path_, [&]() -> Result<void> {
      if (bytes <= inode_->size()) return {};
      TALLY_TRY_VOID(make_room(bytes));
      inode_->resize(moment(), bytes);
      return {};
    });
  }

  Result<void> write_zeroes(std::uint64_t position, std::uint64_t bytes) override {
    return files_.perform(FileCall::kWriteZeroes, path_, [&]() -> Result<void> {
      TALLY_TRY_VOID(make_room(position + bytes));
      inode_->write_zeroes(moment(), position, bytes);
      return {};
    });
  }

  Result<void> truncate(std::uint64_t bytes) override {
    return files_.perform(FileCall::kTruncate, path_, [&]() -> Result<void> {
      if (bytes < inode_->size()) inode_->resize(moment(), bytes);
      return {};
    });
  }

  Result<std::uint64_t> size() const override {
    return files_.perform(FileCall::kSize, path_,
                          [&]() -> Result<std::uint64_t> { return inode_->size(); });
  }

  Result<void> drop_cache() override {
    return files_.perform(FileCall::kDropCache, path_, [&]() -> Result<void> {
      if (!files_.cache_kept_) inode_->drop_cache();
      return {};
    });
  }

 private:
  std::uint64_t moment() const { return files_.operations_; }

  Result<void> make_room(std::uint64_t end) const {
    if (end <= inode_->size()) return {};
    return files_.make_room(end - inode_->size(), path_);
  }

  void leave_part(std::uint64_t position, std::string bytes, const Error& error) {
    const std::lock_guard lock(files_.mutex_);
    if (!files_.fault_) return;  // there was no room
    if (files_.fault_->half_written) {
      bytes.resize(bytes.size() / 2);
    } else if (error.code != ErrorCode::kIo) {
      return;
    }
    inode_->write(moment(), position, std::move(bytes));
  }

  MemoryFileSystem& files_;
  const std::shared_ptr<MemoryInode> inode_;
  const std::string path_;
  const bool is_lock_;
};

std::uint64_t MemoryFileSystem::used() const {
  std::uint64_t bytes = 0;
  for (const auto& [name, directory] : directories_) {
    for (const auto& [file, inode] : directory.now) bytes += inode->size();
  }
  return bytes;
}

Result<void> MemoryFileSystem::make_room(std::uint64_t more, const std::string& path) const {
  if (capacity_ == std::numeric_limits<std::uint64_t>::max()) return {};
  if (more > capacity_ || used() > capacity_ - more) {
    return Error(ErrorCode::kDiskFull, path + ": no space left");
  }
  return {};
}

MemoryFileSystem::Directory* MemoryFileSystem::directory_of(const std::string& path) {
  const auto found = directories_.find(parent_of(path));
  return found == directories_.end() ? nullptr : &found->second;
}

std::shared_ptr<MemoryInode> MemoryFileSystem::find(const std::string& path) const {
  const auto directory = directories_.find(parent_of(path));
  if (directory == directories_.end()) return nullptr;
  const auto file = directory->second.now.find(name_of(path));
  return file == directory->second.now.end() ? nullptr : file->second;
}

Result<std::unique_ptr<store::File>> MemoryFileSystem::open(const std::string& path, Mode mode) {
  using Opened = Result<std::unique_ptr<store::File>>;
  const auto hand_out = [&](std::shared_ptr<MemoryInode> inode) {
    return std::unique_ptr<store::File>(
        std::make_unique<MemoryFile>(*this, std::move(inode), path, false));
  };
  if (mode != Mode::kCreate) {
    return perform(FileCall::kOpen, path, [&]() -> Opened {
      auto inode = find(path);
      if (!inode) return wrong("open", path, "not there");
      return hand_out(std::move(inode));
    });
  }
  return perform(FileCall::kCreate, path, [&]() -> Opened {
    Directory* directory = directory_of(path);
    if (find(path) || directory == nullptr) return wrong("create", path, "not possible");
    auto inode = std::make_shared<MemoryInode>();
    directory->change({operations_, {}, name_of(path), inode});
    return hand_out(std::move(inode));
  });
}

Result<std::vector<std::string>> MemoryFileSystem::list(const std::string& directory) {
  return perform(FileCall::kList, directory, [&]() -> Result<std::vector<std::string>> {
    const auto found = directories_.find(directory);
    if (found == directories_.end()) return wrong("list", directory, "not there");
    std::vector<std::string> names;
    for (const auto& [name, inode] : found->second.now) names.push_back(name);
    return names;
  });
}

Result<bool> MemoryFileSystem::exists(const std::string& path) {
  return perform(FileCall::kExists, path, [&]() -> Result<bool> {
    return directories_.contains(path) || find(path) != nullptr;
  });
}

Result<void> MemoryFileSystem::make_directories(const std::string& path) {
  return perform(FileCall::kMakeDirectories, path, [&]() -> Result<void> {
    for (std::string part = path; !part.empty(); part = parent_of(part)) {
      directories_.try_emplace(part);
      if (part.find('/') == std::string::npos) break;
    }
    return {};
  });
}

Result<void> MemoryFileSystem::rename(const std::string& from, const std::string& to) {
  return perform(FileCall::kRename, from, [&]() -> Result<void> {
    auto inode = find(from);
    Directory* directory = directory_of(from);
    if (!inode || directory != directory_of(to)) return wrong("rename", from, "not possible");
    directory->change({operations_, name_of(from), name_of(to), std::move(inode)});
    return {};
  });
}

Result<void> MemoryFileSystem::remove(const std::string& path) {
  return perform(FileCall::kRemove, path, [&]() -> Result<void> {
    if (!find(path)) return wrong("remove", path, "not there");
    directory_of(path)->change({operations_, name_of(path), {}, {}});
    return {};
  });
}

Result<void> MemoryFileSystem::sync_directory(const std::string& path) {
  return perform(FileCall::kSyncDirectory, path, [&]() -> Result<void> {
    const auto found = directories_.find(path);
    if (found == directories_.end()) return wrong("sync", path, "not there");
    found->second.durable = found->second.now;
    found->second.pending.clear();
    return {};
  });
}

Result<std::unique_ptr<store::File>> MemoryFileSystem::lock(const std::string& path) {
  return perform(FileCall::kLock, path, [&]() -> Result<std::unique_ptr<store::File>> {
    if (!locks_.insert(path).second) return Error(ErrorCode::kDataLocked, path + " is locked");
    return std::unique_ptr<store::File>(
        std::make_unique<MemoryFile>(*this, std::make_shared<MemoryInode>(), path, true));
  });
}

Result<store::DiskSpace> MemoryFileSystem::disk_space(const std::string& directory) {
  return perform(FileCall::kDiskSpace, directory, [&]() -> Result<store::DiskSpace> {
    return store::DiskSpace{.total_bytes = capacity_,
                            .free_bytes = capacity_ - std::min(capacity_, used())};
  });
}

void MemoryFileSystem::inject(const Fault& fault) {
  const std::lock_guard lock(mutex_);
  fault_ = fault;
  failed_ = false;
}

void MemoryFileSystem::heal() {
  const std::lock_guard lock(mutex_);
  fault_.reset();
}

bool MemoryFileSystem::failed() const {
  const std::lock_guard lock(mutex_);
  return failed_;
}

std::uint64_t MemoryFileSystem::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

std::uint64_t MemoryFileSystem::calls(FileCall call) const {
  const std::lock_guard lock(mutex_);
  return calls_[static_cast<std::size_t>(call)];
}

void MemoryFileSystem::set_capacity(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  capacity_ = bytes;
}

void MemoryFileSystem::set_full(bool full) {
  const std::lock_guard lock(mutex_);
  capacity_ = full ? used() : std::numeric_limits<std::uint64_t>::max();
}

void MemoryFileSystem::set_cold(bool cold) {
  const std::lock_guard lock(mutex_);
  cold_ = cold;
}

void MemoryFileSystem::set_cache_kept(bool kept) {
  const std::lock_guard lock(mutex_);
  cache_kept_ = kept;
}

void MemoryFileSystem::observe(std::function<void(FileCall)> observer) {
  const std::lock_guard lock(mutex_);
  observer_ = std::move(observer);
  observing_ = std::this_thread::get_id();
}

bool MemoryFileSystem::is_synced() const {
  const std::lock_guard lock(mutex_);
  return first_moment() > operations_;
}

/// Of the oldest change that is not synced; later than now when there is none.
std::uint64_t MemoryFileSystem::first_moment() const {
  std::uint64_t first = operations_ + 1;
  for (const auto& [path, directory] : directories_) {
    if (!directory.pending.empty()) first = std::min(first, directory.pending.front().moment);
    for (const auto& [name, inode] : directory.now) {
      if (!inode->is_synced()) first = std::min(first, inode->first_moment());
    }
    for (const auto& [name, inode] : directory.durable) {
      if (!inode->is_synced()) first = std::min(first, inode->first_moment());
    }
  }
  return first;
}

std::unique_ptr<MemoryFileSystem> MemoryFileSystem::after_crash(const CrashKeeps& keeps) const {
  const std::lock_guard lock(mutex_);
  CrashChoice choice(keeps, std::min(first_moment(), operations_), operations_);
  auto image = std::make_unique<MemoryFileSystem>();
  for (const auto& [path, directory] : directories_) {
    Names names = directory.durable;
    for (const NameChange& change : directory.pending) {
      if (choice.keep_name(change.moment)) change.apply(names);
    }
    Directory& to = image->directories_[path];
    for (const auto& [name, inode] : names) {
      to.durable.emplace_hint(to.durable.end(), name,
                              std::make_shared<MemoryInode>(inode->after_crash(choice)));
    }
    to.now = to.durable;
  }
  return image;
}

std::vector<std::string> MemoryFileSystem::paths() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> found;
  for (const auto& [path, directory] : directories_) {
    for (const auto& [name, inode] : directory.now) found.push_back(path + "/" + name);
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string MemoryFileSystem::content(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const auto inode = find(path);
  std::string bytes(inode ? inode->size() : 0, '\0');
  if (inode) inode->now().read(0, bytes.data(), bytes.size());
  return bytes;
}

void MemoryFileSystem::set_content(const std::string& path, std::string content) {
  const std::lock_guard lock(mutex_);
  Directory& directory = directories_[parent_of(path)];
  PagedBytes bytes;
  bytes.write(0, content);
  auto inode = std::make_shared<MemoryInode>(std::move(bytes));
  directory.now[name_of(path)] = inode;
  directory.durable[name_of(path)] = std::move(inode);
}

void MemoryFileSystem::damage(const std::string& path, std::uint64_t position,
                              std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  const auto inode = find(path);
  TALLY_CHECK(inode != nullptr);
  inode->damage(position, bytes);
}

void MemoryFileSystem::cut(const std::string& path, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto inode = find(path);
  TALLY_CHECK(inode != nullptr);
  inode->cut(bytes);
}

}  // namespace tally::testing
