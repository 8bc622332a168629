#include "tests/support/memory_file_system.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace tally::testing {
namespace {

constexpr std::uint64_t kSectorBytes = 512;

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }
std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

void put(std::string& content, std::uint64_t position, std::string_view bytes) {
  if (content.size() < position + bytes.size()) content.resize(position + bytes.size(), '\0');
  content.replace(position, bytes.size(), bytes);
}

/// Decides what a crash keeps.
class Choice {
 public:
  explicit Choice(const CrashKeeps& keeps) : keeps_(keeps), state_(keeps.seed) {
    kept_of_four_ = 1 + next() % 3;
  }
  bool keep() {
    if (keeps_.part == CrashKeeps::Part::kRandom) return next() % 4 < kept_of_four_;
    return keeps_.part == CrashKeeps::Part::kEverything;
  }

 private:
  std::uint64_t next() {  // splitmix64
    std::uint64_t value = (state_ += 0x9e3779b97f4a7c15);
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
  }
  CrashKeeps keeps_;
  std::uint64_t state_;
  std::uint64_t kept_of_four_;
};

}  // namespace

/// Bytes written at a position, or (without bytes) a new size.
struct MemoryFileSystem::Change {
  std::uint64_t position = 0;
  std::string bytes{};
  bool shorter = false;
};

struct MemoryFileSystem::Inode {
  std::string now{};
  std::string durable{};
  std::vector<Change> pending{};

  static void apply(std::string& content, const Change& change) {
    if (change.shorter) {
      content.resize(std::min<std::size_t>(content.size(), change.position));
    } else if (change.bytes.empty()) {
      content.resize(std::max<std::size_t>(content.size(), change.position), '\0');
    } else {
      put(content, change.position, change.bytes);
    }
  }

  void sync() {
    for (const Change& change : pending) apply(durable, change);
    pending.clear();
  }

  std::string after_crash(Choice& choice) const {
    std::string content = durable;
    for (const Change& change : pending) {
      if (change.bytes.empty()) {
        if (choice.keep()) apply(content, change);
        continue;
      }
      std::uint64_t at = 0;
      while (at < change.bytes.size()) {
        const std::uint64_t sector_left = kSectorBytes - (change.position + at) % kSectorBytes;
        const std::uint64_t size = std::min<std::uint64_t>(sector_left, change.bytes.size() - at);
        if (choice.keep()) {
          put(content, change.position + at, std::string_view(change.bytes).substr(at, size));
        }
        at += size;
      }
    }
    return content;
  }
};

void MemoryFileSystem::NameChange::apply(Names& names) const {
  if (!removed.empty()) names.erase(removed);
  if (!added.empty()) names[added] = inode;
}

void MemoryFileSystem::Directory::change(NameChange change) {
  change.apply(now);
  pending.push_back(std::move(change));
}

class MemoryFile final : public store::File {
 public:
  MemoryFile(MemoryFileSystem& files, std::shared_ptr<MemoryFileSystem::Inode> inode,
             std::string path, bool is_lock)
      : files_(files), inode_(std::move(inode)), path_(std::move(path)), is_lock_(is_lock) {}
  ~MemoryFile() override {
    if (!is_lock_) return;
    const std::lock_guard lock(files_.mutex_);
    files_.locks_.erase(path_);
  }

  Result<void> write(std::uint64_t position, std::span<const iovec> pieces) override {
    const std::lock_guard lock(files_.mutex_);
    std::string bytes;
    for (const iovec& piece : pieces) {
      bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
    }
    // The write that a stopping machine interrupts has begun: what it leaves is a crash's choice.
    auto allowed = files_.operate("write " + path_);
    if (allowed || allowed.error().code == ErrorCode::kIo) change(position, std::move(bytes));
    return allowed;
  }

  Result<std::size_t> read(std::uint64_t position, char* to, std::size_t size) const override {
    const std::lock_guard lock(files_.mutex_);
    if (position >= inode_->now.size()) return std::size_t{0};
    return inode_->now.copy(to, size, position);
  }

  Result<std::optional<std::size_t>> read_cached(std::uint64_t position, char* to,
                                                 std::size_t size) const override {
    if (files_.cold_) return std::optional<std::size_t>();
    auto got = read(position, to, size);
    if (!got) return got.error();
    return std::optional(*got);
  }

  Result<std::uint64_t> data_end() const override {
    const std::lock_guard lock(files_.mutex_);
    return std::uint64_t{inode_->now.find_last_not_of('\0') + 1};
  }

  Result<void> sync() override {
    const std::lock_guard lock(files_.mutex_);
    auto allowed = files_.operate("sync " + path_);
    if (!allowed) {
      if (!files_.fault_->for_ever) inode_->pending.clear();
      return allowed;
    }
    inode_->sync();
    return {};
  }

  Result<void> allocate(std::uint64_t bytes) override {
    const std::lock_guard lock(files_.mutex_);
    TALLY_TRY_VOID(files_.operate("allocate " + path_));
    const std::uint64_t has = inode_->now.size();
    if (bytes <= has) return {};
    TALLY_TRY_VOID(files_.make_room(bytes - has, path_));
    change(bytes, {});
    return {};
  }

  Result<void> write_zeroes(std::uint64_t position, std::uint64_t bytes) override {
    const std::lock_guard lock(files_.mutex_);
    TALLY_TRY_VOID(files_.operate("write zeroes " + path_));
    change(position, std::string(bytes, '\0'));
    return {};
  }

  Result<void> truncate(std::uint64_t bytes) override {
    const std::lock_guard lock(files_.mutex_);
    TALLY_TRY_VOID(files_.operate("truncate " + path_));
    MemoryFileSystem::Change change{.position = bytes, .bytes = {}, .shorter = true};
    inode_->apply(inode_->now, change);
    inode_->pending.push_back(std::move(change));
    return {};
  }

  Result<std::uint64_t> size() const override {
    const std::lock_guard lock(files_.mutex_);
    return std::uint64_t{inode_->now.size()};
  }

  Result<void> drop_cache() override {
    const std::lock_guard lock(files_.mutex_);
    inode_->now = inode_->durable;
    for (const auto& change : inode_->pending) inode_->apply(inode_->now, change);
    return {};
  }

 private:
  void change(std::uint64_t position, std::string bytes) {
    MemoryFileSystem::Change change{.position = position, .bytes = std::move(bytes)};
    inode_->apply(inode_->now, change);
    inode_->pending.push_back(std::move(change));
  }

  MemoryFileSystem& files_;
  const std::shared_ptr<MemoryFileSystem::Inode> inode_;
  const std::string path_;
  const bool is_lock_;
};

MemoryFileSystem::MemoryFileSystem() : capacity_(std::numeric_limits<std::uint64_t>::max()) {}
MemoryFileSystem::~MemoryFileSystem() = default;

Result<void> MemoryFileSystem::operate(const std::string& what) {
  const std::uint64_t number = operations_++;
  if (!fault_) return {};
  const bool hit = fault_->for_ever ? number >= fault_->number : number == fault_->number;
  if (!hit) return {};
  return Error(fault_->code, what + ": injected fault");
}

std::uint64_t MemoryFileSystem::used() const {
  std::uint64_t used = 0;
  for (const auto& [name, directory] : directories_) {
    for (const auto& [file, inode] : directory.now) used += inode->now.size();
  }
  return used;
}

Result<void> MemoryFileSystem::make_room(std::uint64_t more, const std::string& path) {
  if (more > capacity_ || used() > capacity_ - more) {
    return Error(ErrorCode::kDiskFull, path + ": no space left");
  }
  return {};
}

MemoryFileSystem::Directory* MemoryFileSystem::directory_of(const std::string& path) {
  const auto found = directories_.find(parent_of(path));
  return found == directories_.end() ? nullptr : &found->second;
}

std::shared_ptr<MemoryFileSystem::Inode> MemoryFileSystem::find(const std::string& path) const {
  const auto directory = directories_.find(parent_of(path));
  if (directory == directories_.end()) return nullptr;
  const auto file = directory->second.now.find(name_of(path));
  return file == directory->second.now.end() ? nullptr : file->second;
}

Result<std::unique_ptr<store::File>> MemoryFileSystem::open(const std::string& path, Mode mode) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Inode> inode = find(path);
  if (mode == Mode::kCreate) {
    TALLY_TRY_VOID(operate("create " + path));
    Directory* directory = directory_of(path);
    if (inode || directory == nullptr) return Error(ErrorCode::kIo, "create " + path);
    inode = std::make_shared<Inode>();
    directory->change({.removed = {}, .added = name_of(path), .inode = inode});
  }
  if (!inode) return Error(ErrorCode::kIo, "open " + path + ": not there");
  return std::unique_ptr<store::File>(
      std::make_unique<MemoryFile>(*this, std::move(inode), path, false));
}

Result<std::vector<std::string>> MemoryFileSystem::list(const std::string& directory) {
  const std::lock_guard lock(mutex_);
  const auto found = directories_.find(directory);
  if (found == directories_.end()) return Error(ErrorCode::kIo, "list " + directory);
  std::vector<std::string> names;
  for (const auto& [name, inode] : found->second.now) names.push_back(name);
  return names;
}

Result<bool> MemoryFileSystem::exists(const std::string& path) {
  const std::lock_guard lock(mutex_);
  return directories_.count(path) != 0 || find(path) != nullptr;
}

Result<void> MemoryFileSystem::make_directories(const std::string& path) {
  const std::lock_guard lock(mutex_);
  directories_.try_emplace(path);
  return {};
}

Result<void> MemoryFileSystem::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  TALLY_TRY_VOID(operate("rename " + from));
  auto inode = find(from);
  Directory* directory = directory_of(from);
  if (!inode || directory != directory_of(to)) return Error(ErrorCode::kIo, "rename " + from);
  directory->change({.removed = name_of(from), .added = name_of(to), .inode = std::move(inode)});
  return {};
}

Result<void> MemoryFileSystem::remove(const std::string& path) {
  const std::lock_guard lock(mutex_);
  TALLY_TRY_VOID(operate("remove " + path));
  if (!find(path)) return Error(ErrorCode::kIo, "remove " + path + ": not there");
  directory_of(path)->change({.removed = name_of(path), .added = {}, .inode = {}});
  return {};
}

Result<void> MemoryFileSystem::sync_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  TALLY_TRY_VOID(operate("sync directory " + path));
  const auto found = directories_.find(path);
  if (found == directories_.end()) return Error(ErrorCode::kIo, "sync " + path);
  found->second.durable = found->second.now;
  found->second.pending.clear();
  return {};
}

Result<std::unique_ptr<store::File>> MemoryFileSystem::lock(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (!locks_.insert(path).second) return Error(ErrorCode::kDataLocked, path + " is locked");
  return std::unique_ptr<store::File>(
      std::make_unique<MemoryFile>(*this, std::make_shared<Inode>(), path, true));
}

Result<store::DiskSpace> MemoryFileSystem::disk_space(const std::string& /*directory*/) {
  const std::lock_guard lock(mutex_);
  return store::DiskSpace{.total_bytes = capacity_,
                          .free_bytes = capacity_ - std::min(capacity_, used())};
}

void MemoryFileSystem::inject(const Fault& fault) {
  const std::lock_guard lock(mutex_);
  fault_ = fault;
}

std::uint64_t MemoryFileSystem::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

void MemoryFileSystem::set_capacity(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  capacity_ = bytes;
}

void MemoryFileSystem::set_cold(bool cold) {
  const std::lock_guard lock(mutex_);
  cold_ = cold;
}

std::unique_ptr<MemoryFileSystem> MemoryFileSystem::after_crash(const CrashKeeps& keeps) const {
  const std::lock_guard lock(mutex_);
  Choice choice(keeps);
  auto image = std::make_unique<MemoryFileSystem>();
  for (const auto& [path, directory] : directories_) {
    Names names = directory.durable;
    for (const NameChange& change : directory.pending) {
      if (choice.keep()) change.apply(names);
    }
    Directory& to = image->directories_[path];
    for (const auto& [name, inode] : names) {
      auto kept = std::make_shared<Inode>();
      kept->durable = inode->after_crash(choice);
      kept->now = kept->durable;
      to.durable[name] = kept;
    }
    to.now = to.durable;
  }
  return image;
}

std::string MemoryFileSystem::content(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const auto inode = find(path);
  return inode ? inode->now : std::string();
}

void MemoryFileSystem::set_content(const std::string& path, std::string content) {
  const std::lock_guard lock(mutex_);
  Directory& directory = directories_[parent_of(path)];
  auto inode = std::make_shared<Inode>();
  inode->durable = content;
  inode->now = std::move(content);
  directory.now[name_of(path)] = inode;
  directory.durable[name_of(path)] = std::move(inode);
}

}  // namespace tally::testing
