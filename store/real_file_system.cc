#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "store/file_system.h"

namespace tally::store {
namespace {

// Zeroes are written in pieces of this; not const, so that it takes no room in the program file.
constexpr std::size_t kZeroPieceBytes = 256u << 10;
constexpr int kZeroPiecesMax = 64;
alignas(4096) std::array<char, kZeroPieceBytes> zero_piece{};

Error error_of(int number, std::string_view action, const std::string& path) {
  const bool full = number == ENOSPC || number == EDQUOT;
  return Error(full ? ErrorCode::kDiskFull : ErrorCode::kIo,
               std::string(action) + " " + path + ": " + std::generic_category().message(number));
}

/// Of calls that name a path: what is refused for who we are, or for what stands there, is no disk
/// failure.
Error path_error(int number, std::string_view action, const std::string& path) {
  Error error = error_of(number, action, path);
  if (number == EACCES || number == EPERM || number == EROFS || number == ENOTDIR) {
    error.code = ErrorCode::kDataUnusable;
  }
  return error;
}

struct KnownType {
  std::uint32_t magic;
  Volume::Kind kind;
  std::string_view name;
};
constexpr std::array kKnownTypes = {
    KnownType{0x01021994, Volume::Kind::kMemory, "tmpfs"},
    KnownType{0x858458f6, Volume::Kind::kMemory, "ramfs"},
    KnownType{0x00006969, Volume::Kind::kRemote, "nfs"},
    KnownType{0xff534d42, Volume::Kind::kRemote, "cifs"},
    KnownType{0xfe534d42, Volume::Kind::kRemote, "smb2"},
    KnownType{0x01021997, Volume::Kind::kRemote, "9p"},
    KnownType{0x65735546, Volume::Kind::kRemote, "fuse"},
};

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int number() const { return number_; }
  bool is_open() const { return number_ >= 0; }

 private:
  int number_;
};

class RealFile final : public File {
 public:
  explicit RealFile(int descriptor) : descriptor_(descriptor) {}

  Result<void> write(std::uint64_t position, std::span<const iovec> pieces) override {
    std::array<iovec, IOV_MAX> rest;
    while (!pieces.empty()) {
      std::size_t count = std::min<std::size_t>(pieces.size(), rest.size());
      std::copy_n(pieces.begin(), count, rest.begin());
      pieces = pieces.subspan(count);
      iovec* next = rest.data();
      while (count > 0) {
        const ssize_t written =
            ::pwritev(number(), next, static_cast<int>(count), static_cast<off_t>(position));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return failed("write");
        auto done = static_cast<std::size_t>(written);
        position += done;
        while (count > 0 && done >= next->iov_len) {
          done -= next->iov_len;
          ++next;
          --count;
        }
        if (count > 0) {
          next->iov_base = static_cast<char*>(next->iov_base) + done;
          next->iov_len -= done;
        }
      }
    }
    return {};
  }

  Result<std::size_t> read(std::uint64_t position, char* to, std::size_t size) const override {
    std::size_t done = 0;
    while (done < size) {
      const ssize_t got =
          ::pread(number(), to + done, size - done, static_cast<off_t>(position + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return failed("read");
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  Result<std::optional<std::size_t>> read_cached(std::uint64_t position, char* to,
                                                 std::size_t size) const override {
    std::size_t done = 0;
    while (done < size) {
      iovec piece{to + done, size - done};
      const ssize_t got =
          ::preadv2(number(), &piece, 1, static_cast<off_t>(position + done), RWF_NOWAIT);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return std::optional<std::size_t>();
      if (got < 0 && errno == EOPNOTSUPP) {  // tmpfs: everything is in memory
        auto all = read(position, to, size);
        if (!all) return std::move(all).error();
        return std::optional(*all);
      }
      if (got < 0) return failed("read");
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return std::optional(done);
  }

  Result<std::uint64_t> data_end() const override {
    off_t end = 0;
    while (true) {
      const off_t data = ::lseek(number(), end, SEEK_DATA);
      if (data < 0 && errno == ENXIO) return static_cast<std::uint64_t>(end);
      if (data < 0 && errno == EINVAL) return size();  // this file system cannot tell
      if (data < 0) return failed("search");
      end = ::lseek(number(), data, SEEK_HOLE);
      if (end < 0) return failed("search");
    }
  }

  Result<void> sync() override {
    if (::fdatasync(number()) != 0) return failed("sync");
    return {};
  }

  Result<void> allocate(std::uint64_t bytes) override {
    while (::fallocate(number(), 0, 0, static_cast<off_t>(bytes)) != 0) {
      if (errno == EINTR) continue;
      if (errno != EOPNOTSUPP) return failed("allocate");
      TALLY_TRY(const std::uint64_t begin, size());
      if (begin >= bytes) break;
      TALLY_TRY_VOID(fill(number(), begin, bytes - begin));
      return sync();  // only now is it known that there was room
    }
    return {};
  }

  Result<void> write_zeroes(std::uint64_t position, std::uint64_t bytes) override {
    const Descriptor direct(::open(own_link().c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC));
    TALLY_TRY_VOID(fill(direct.is_open() ? direct.number() : number(), position, bytes));
    // Cached zeroes would otherwise burden the first sync of the log.
    return direct.is_open() ? Result<void>() : sync();
  }

  Result<void> truncate(std::uint64_t bytes) override {
    if (::ftruncate(number(), static_cast<off_t>(bytes)) != 0) return failed("shorten");
    return {};
  }

  Result<std::uint64_t> size() const override {
    struct stat status {};
    if (::fstat(number(), &status) != 0) return failed("look at");
    return static_cast<std::uint64_t>(status.st_size);
  }

  Result<void> drop_cache() override {
    const int failure = ::posix_fadvise(number(), 0, 0, POSIX_FADV_DONTNEED);
    if (failure != 0) return error_of(failure, "drop the cache of", path());
    return {};
  }

 private:
  /// Writes zeroes through the descriptor `to`.
  Result<void> fill(int to, std::uint64_t position, std::uint64_t bytes) {
    // Few large calls: on a busy machine each one may wait for its turn.
    std::array<iovec, kZeroPiecesMax> pieces;
    while (bytes > 0) {
      int count = 0;
      for (std::uint64_t left = bytes; left > 0 && count < kZeroPiecesMax; ++count) {
        const auto size =
            static_cast<std::size_t>(std::min<std::uint64_t>(left, zero_piece.size()));
        pieces[static_cast<std::size_t>(count)] = {zero_piece.data(), size};
        left -= size;
      }
      const ssize_t written = ::pwritev(to, pieces.data(), count, static_cast<off_t>(position));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return failed("write");
      position += static_cast<std::uint64_t>(written);
      bytes -= static_cast<std::uint64_t>(written);
    }
    return {};
  }
  int number() const { return descriptor_.number(); }
  std::string own_link() const { return "/proc/self/fd/" + std::to_string(number()); }
  /// The present name: segments are renamed while they are open.
  std::string path() const {
    std::error_code ignored;
    return std::filesystem::read_symlink(own_link(), ignored).string();
  }
  Error failed(std::string_view action) const {
    const int number = errno;
    return error_of(number, action, path());
  }

  Descriptor descriptor_;
};

class RealFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, Mode mode) override {
    int flags = O_CLOEXEC | (mode == Mode::kRead ? O_RDONLY : O_RDWR);
    if (mode == Mode::kCreate) flags |= O_CREAT | O_EXCL;
    const int number = ::open(path.c_str(), flags, 0644);
    if (number < 0) return path_error(errno, mode == Mode::kCreate ? "create" : "open", path);
    return std::unique_ptr<File>(std::make_unique<RealFile>(number));
  }

  Result<std::vector<std::string>> list(const std::string& directory) override {
    DIR* stream = ::opendir(directory.c_str());
    if (stream == nullptr) return path_error(errno, "list", directory);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* item = ::readdir(stream)) {
      const std::string_view name = item->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    const int failure = errno;
    ::closedir(stream);
    if (failure != 0) return path_error(failure, "list", directory);
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<bool> exists(const std::string& path) override {
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return path_error(errno, "look at", path);
  }

  Result<void> make_directories(const std::string& path) override {
    const std::filesystem::path whole = std::filesystem::path(path).lexically_normal();
    std::filesystem::path made;
    for (const std::filesystem::path& part : whole) {
      if (part.empty()) continue;  // a slash at the end
      const std::filesystem::path parent = made.empty() ? std::filesystem::path(".") : made;
      made /= part;
      TALLY_TRY(const bool there, exists(made.string()));
      if (there) continue;
      if (::mkdir(made.c_str(), 0755) != 0 && errno != EEXIST) {
        return path_error(errno, "create the directory", made.string());
      }
      TALLY_TRY_VOID(sync_directory(parent.string()));
    }
    return {};
  }

  Result<void> rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return path_error(errno, "rename", from);
    return {};
  }

  Result<void> remove(const std::string& path) override {
    if (::remove(path.c_str()) != 0) return path_error(errno, "remove", path);
    return {};
  }

  Result<void> sync_directory(const std::string& path) override {
    const Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory.is_open()) return path_error(errno, "open", path);
    if (::fsync(directory.number()) != 0) return path_error(errno, "sync", path);
    return {};
  }

  Result<std::unique_ptr<File>> lock(const std::string& path) override {
    const int number = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (number < 0) return path_error(errno, "open", path);
    auto file = std::make_unique<RealFile>(number);
    if (::flock(number, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return path_error(errno, "lock", path);
      return Error(ErrorCode::kDataLocked, path + " is locked by another process");
    }
    return std::unique_ptr<File>(std::move(file));
  }

  Result<DiskSpace> disk_space(const std::string& directory) override {
    struct statvfs status {};
    if (::statvfs(directory.c_str(), &status) != 0) return error_of(errno, "look at", directory);
    return DiskSpace{.total_bytes = std::uint64_t{status.f_blocks} * status.f_frsize,
                     .free_bytes = std::uint64_t{status.f_bavail} * status.f_frsize};
  }

  Result<Volume> describe(const std::string& directory) override {
    struct statfs status {};
    if (::statfs(directory.c_str(), &status) != 0) {
      return path_error(errno, "look at", directory);
    }
    Volume volume;
    volume.writable = ::faccessat(AT_FDCWD, directory.c_str(), W_OK | X_OK, AT_EACCESS) == 0;
    const auto magic = static_cast<std::uint32_t>(status.f_type);
    for (const KnownType& known : kKnownTypes) {
      if (known.magic != magic) continue;
      volume.kind = known.kind;
      volume.type = known.name;
    }
    return volume;
  }
};

}  // namespace

FileSystem& real_file_system() {
  static RealFileSystem files;
  return files;
}

}  // namespace tally::store
