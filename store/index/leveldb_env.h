#pragma once
// LevelDB's view of the file system: its files go through store::FileSystem, so that tests can take
// them away, fill the disk and damage them. Threads and time are LevelDB's own.
//
// Operation: every name that is made or changed is durable with the next sync of any file, and a
// rename at once. Concurrency: thread-safe. Must outlive the databases that use it.

#include <leveldb/env.h>

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "store/file_system.h"

namespace tally::store {

class LevelDbEnv final : public leveldb::EnvWrapper {
 public:
  explicit LevelDbEnv(FileSystem& files) : EnvWrapper(Default()), files_(files) {}

  /// What an IOError of LevelDB is due to: the gravest error of the file system since forget().
  /// IO_ERROR when none is known.
  ErrorCode cause() const;
  void forget();

  /// Remembers the error.
  leveldb::Status failed(const Error& error);
  /// Makes names durable that the directory may not have yet.
  leveldb::Status sync_names(const std::string& directory);

  leveldb::Status NewSequentialFile(const std::string& path,
                                    leveldb::SequentialFile** result) override;
  leveldb::Status NewRandomAccessFile(const std::string& path,
                                      leveldb::RandomAccessFile** result) override;
  leveldb::Status NewWritableFile(const std::string& path, leveldb::WritableFile** result) override;
  leveldb::Status NewAppendableFile(const std::string& path,
                                    leveldb::WritableFile** result) override;
  bool FileExists(const std::string& path) override;
  leveldb::Status GetChildren(const std::string& directory,
                              std::vector<std::string>* result) override;
  leveldb::Status RemoveFile(const std::string& path) override;
  leveldb::Status CreateDir(const std::string& directory) override;
  leveldb::Status RemoveDir(const std::string& directory) override;
  leveldb::Status GetFileSize(const std::string& path, uint64_t* bytes) override;
  leveldb::Status RenameFile(const std::string& from, const std::string& to) override;
  leveldb::Status LockFile(const std::string& path, leveldb::FileLock** lock) override;
  leveldb::Status UnlockFile(leveldb::FileLock* lock) override;

 private:
  FileSystem& files_;
  mutable std::mutex mutex_{};
  std::optional<ErrorCode> cause_{};
  std::mutex names_mutex_{};  ///< held while names are synced: nobody's sync overtakes them
  bool names_changed_ = false;
};

}  // namespace tally::store
