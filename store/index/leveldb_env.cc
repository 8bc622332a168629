#include "store/index/leveldb_env.h"

#include <algorithm>
#include <memory>

namespace tally::store {
namespace {

using leveldb::Slice;
using leveldb::Status;

constexpr std::size_t kWriteBufferBytes = 64u << 10;

std::string directory_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

class EnvSequentialFile final : public leveldb::SequentialFile {
 public:
  EnvSequentialFile(LevelDbEnv& env, std::unique_ptr<File> file)
      : env_(env), file_(std::move(file)) {}

  Status Read(std::size_t size, Slice* result, char* scratch) override {
    const auto got = file_->read(position_, scratch, size);
    if (!got) return env_.failed(got.error());
    position_ += *got;
    *result = Slice(scratch, *got);
    return Status::OK();
  }

  Status Skip(std::uint64_t bytes) override {
    position_ += bytes;
    return Status::OK();
  }

 private:
  LevelDbEnv& env_;
  const std::unique_ptr<File> file_;
  std::uint64_t position_ = 0;
};

class EnvRandomAccessFile final : public leveldb::RandomAccessFile {
 public:
  EnvRandomAccessFile(LevelDbEnv& env, std::unique_ptr<File> file)
      : env_(env), file_(std::move(file)) {}

  Status Read(std::uint64_t position, std::size_t size, Slice* result,
              char* scratch) const override {
    const auto got = file_->read(position, scratch, size);
    if (!got) return env_.failed(got.error());
    *result = Slice(scratch, *got);
    return Status::OK();
  }

 private:
  LevelDbEnv& env_;
  const std::unique_ptr<File> file_;
};

class EnvWritableFile final : public leveldb::WritableFile {
 public:
  EnvWritableFile(LevelDbEnv& env, std::unique_ptr<File> file, std::string directory)
      : env_(env), file_(std::move(file)), directory_(std::move(directory)) {}

  ~EnvWritableFile() override { static_cast<void>(Flush()); }
  EnvWritableFile(const EnvWritableFile&) = delete;
  EnvWritableFile& operator=(const EnvWritableFile&) = delete;

  Status Append(const Slice& data) override {
    buffer_.append(data.data(), data.size());
    return buffer_.size() < kWriteBufferBytes ? Status::OK() : Flush();
  }

  Status Flush() override {
    if (buffer_.empty()) return Status::OK();
    const iovec piece{buffer_.data(), buffer_.size()};
    const auto written = file_->write(position_, {&piece, 1});
    position_ += buffer_.size();
    buffer_.clear();
    return written ? Status::OK() : env_.failed(written.error());
  }

  Status Sync() override {
    Status status = Flush();
    if (status.ok()) status = env_.sync_names(directory_);
    if (!status.ok()) return status;
    const auto synced = file_->sync();
    return synced ? Status::OK() : env_.failed(synced.error());
  }

  Status Close() override { return Flush(); }

 private:
  LevelDbEnv& env_;
  const std::unique_ptr<File> file_;
  const std::string directory_;
  std::uint64_t position_ = 0;
  std::string buffer_{};
};

class EnvFileLock final : public leveldb::FileLock {
 public:
  explicit EnvFileLock(std::unique_ptr<File> lock) : lock_(std::move(lock)) {}

 private:
  const std::unique_ptr<File> lock_;
};

}  // namespace

ErrorCode LevelDbEnv::cause() const {
  const std::lock_guard lock(mutex_);
  return cause_.value_or(ErrorCode::kIo);
}

void LevelDbEnv::forget() {
  const std::lock_guard lock(mutex_);
  cause_.reset();
}

Status LevelDbEnv::failed(const Error& error) {
  const std::lock_guard lock(mutex_);
  if (cause_ != ErrorCode::kIo) cause_ = error.code;
  return Status::IOError(error.message);
}

Status LevelDbEnv::sync_names(const std::string& directory) {
  const std::lock_guard lock(names_mutex_);
  if (!names_changed_) return Status::OK();
  const auto synced = files_.sync_directory(directory);
  if (!synced) return failed(synced.error());
  names_changed_ = false;
  return Status::OK();
}

Status LevelDbEnv::NewSequentialFile(const std::string& path, leveldb::SequentialFile** result) {
  *result = nullptr;
  auto file = files_.open(path, FileSystem::Mode::kRead);
  if (!file) {
    // LevelDB wants to know whether CURRENT names a file that is gone.
    const auto there = files_.exists(path);
    return there && !*there ? Status::NotFound(path) : failed(file.error());
  }
  *result = std::make_unique<EnvSequentialFile>(*this, *std::move(file)).release();
  return Status::OK();
}

Status LevelDbEnv::NewRandomAccessFile(const std::string& path,
                                       leveldb::RandomAccessFile** result) {
  *result = nullptr;
  auto file = files_.open(path, FileSystem::Mode::kRead);
  // Never NotFound: LevelDB would take it for an answer about a key.
  if (!file) return failed(file.error());
  *result = std::make_unique<EnvRandomAccessFile>(*this, *std::move(file)).release();
  return Status::OK();
}

Status LevelDbEnv::NewWritableFile(const std::string& path, leveldb::WritableFile** result) {
  *result = nullptr;
  if (FileExists(path)) {
    if (Status removed = RemoveFile(path); !removed.ok()) return removed;
  }
  const std::lock_guard lock(names_mutex_);
  auto file = files_.open(path, FileSystem::Mode::kCreate);
  if (!file) return failed(file.error());
  names_changed_ = true;
  *result =
      std::make_unique<EnvWritableFile>(*this, *std::move(file), directory_of(path)).release();
  return Status::OK();
}

Status LevelDbEnv::NewAppendableFile(const std::string& path, leveldb::WritableFile** result) {
  *result = nullptr;
  return Status::NotSupported(path);
}

bool LevelDbEnv::FileExists(const std::string& path) {
  const auto there = files_.exists(path);
  return there && *there;
}

Status LevelDbEnv::GetChildren(const std::string& directory, std::vector<std::string>* result) {
  auto names = files_.list(directory);
  if (!names) return failed(names.error());
  *result = *std::move(names);
  return Status::OK();
}

Status LevelDbEnv::RemoveFile(const std::string& path) {
  const auto removed = files_.remove(path);
  return removed ? Status::OK() : failed(removed.error());
}

Status LevelDbEnv::CreateDir(const std::string& directory) {
  const auto made = files_.make_directories(directory);
  return made ? Status::OK() : failed(made.error());
}

Status LevelDbEnv::RemoveDir(const std::string& directory) {
  const auto removed = files_.remove(directory);
  return removed ? Status::OK() : failed(removed.error());
}

Status LevelDbEnv::GetFileSize(const std::string& path, std::uint64_t* bytes) {
  *bytes = 0;
  const auto file = files_.open(path, FileSystem::Mode::kRead);
  if (!file) return failed(file.error());
  const auto size = (*file)->size();
  if (!size) return failed(size.error());
  *bytes = *size;
  return Status::OK();
}

Status LevelDbEnv::RenameFile(const std::string& from, const std::string& to) {
  const auto renamed = files_.rename(from, to);
  if (!renamed) return failed(renamed.error());
  // What LevelDB removes next is named by nothing but the file that was replaced.
  const auto synced = files_.sync_directory(directory_of(to));
  return synced ? Status::OK() : failed(synced.error());
}

Status LevelDbEnv::LockFile(const std::string& path, leveldb::FileLock** result) {
  *result = nullptr;
  auto lock = files_.lock(path);
  if (!lock) return failed(lock.error());
  *result = std::make_unique<EnvFileLock>(*std::move(lock)).release();
  return Status::OK();
}

Status LevelDbEnv::UnlockFile(leveldb::FileLock* lock) {
  const std::unique_ptr<leveldb::FileLock> owned(lock);
  return Status::OK();
}

}  // namespace tally::store
