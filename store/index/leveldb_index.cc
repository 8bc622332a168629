#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>
#include <leveldb/write_batch.h>

#include <cstdarg>
#include <cstring>
#include <mutex>

#include "protocol/base/bytes.h"
#include "protocol/base/checksum.h"
#include "protocol/base/fail_point.h"
#include "protocol/base/seeded_bug.h"
#include "store/index/leveldb_check.h"
#include "store/index/leveldb_env.h"
#include "store/index_store.h"

namespace tally::store {
namespace {

constexpr std::size_t kWriteBufferBytes = 4u << 20;
constexpr std::size_t kCacheBytes = 8u << 20;
constexpr std::uint64_t kReopenBytes =
    kWriteBufferBytes + (1u << 20);  // a table and its neighbours
constexpr int kOpenFilesMax = 256;
constexpr int kFilterBitsPerKey = 10;

constexpr std::string_view kPositionKey{"\0position", 9};
constexpr std::uint32_t kPositionFormat = 2;
constexpr std::size_t kPositionBytes = 60;

leveldb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }
std::string_view view(const leveldb::Slice& text) { return {text.data(), text.size()}; }

/// 0 u32 format · 4 u64 applied index · 12 u64 next LSN · 20 u64 entry checksum · 28 i64 time ms ·
/// 36 16 log id · 52 u64 XXH3-64 over bytes 0-51
std::string encode(const ReplayFrom& position) {
  std::string raw;
  ByteWriter out(raw);
  out.put(kPositionFormat);
  out.put(position.applied.value);
  out.put(position.next.value);
  out.put(position.entry_checksum);
  out.put(position.time_ms);
  out.put_bytes(position.log.view());
  out.put(checksum(raw));
  return raw;
}

std::optional<ReplayFrom> decode(const std::string& raw) {
  if (raw.size() != kPositionBytes) return std::nullopt;
  const char* at = raw.data();
  const std::string_view covered(at, kPositionBytes - sizeof(std::uint64_t));
  if (checksum(covered) != load_le<std::uint64_t>(at + covered.size())) return std::nullopt;
  if (load_le<std::uint32_t>(at) != kPositionFormat) return std::nullopt;
  ReplayFrom position;
  position.applied = EntryIndex(load_le<std::uint64_t>(at + 4));
  position.next = Lsn(load_le<std::uint64_t>(at + 12));
  position.entry_checksum = load_le<std::uint64_t>(at + 20);
  position.time_ms = load_le<std::int64_t>(at + 28);
  std::memcpy(position.log.bytes.data(), at + 36, position.log.bytes.size());
  return position;
}

Error error_of(const LevelDbEnv& env, const leveldb::Status& status, std::string_view action) {
  return Error(status.IsIOError() ? env.cause() : ErrorCode::kDataDamaged,
               "index: " + std::string(action) + ": " + status.ToString());
}

/// An open database; closed when the last one lets go of it.
struct Database {
  const LevelDbEnv& env;
  const std::unique_ptr<leveldb::DB> db;

  Result<std::optional<std::string>> get(const leveldb::ReadOptions& options,
                                         std::string_view key) const {
    std::string value;
    const leveldb::Status status = db->Get(options, slice(key), &value);
    if (status.IsNotFound()) return std::optional<std::string>();
    if (!status.ok()) return error_of(env, status, "read");
    return std::optional<std::string>(std::move(value));
  }

  Result<void> scan(
      leveldb::ReadOptions options, std::string_view from, std::string_view to,
      const std::function<bool(std::string_view key, std::string_view value)>& visit) const {
    options.fill_cache = false;
    const std::unique_ptr<leveldb::Iterator> at(db->NewIterator(options));
    for (at->Seek(slice(from)); at->Valid() && view(at->key()) < to; at->Next()) {
      if (view(at->key()) == kPositionKey) continue;
      if (!visit(view(at->key()), view(at->value()))) break;
    }
    if (!at->status().ok()) return error_of(env, at->status(), "read");
    return {};
  }
};

Result<std::optional<ReplayFrom>> read_position(const IndexView& from) {
  TALLY_TRY(const auto raw, from.get(kPositionKey));
  if (!raw) return std::optional<ReplayFrom>();
  const auto position = decode(*raw);
  if (!position) return Error(ErrorCode::kDataDamaged, "index: its position does not decode");
  return position;
}

leveldb::ReadOptions verified() {
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  return options;
}

class LevelDbSnapshot final : public IndexView {
 public:
  explicit LevelDbSnapshot(std::shared_ptr<const Database> database)
      : database_(std::move(database)), snapshot_(database_->db->GetSnapshot()) {}
  ~LevelDbSnapshot() override { database_->db->ReleaseSnapshot(snapshot_); }
  LevelDbSnapshot(const LevelDbSnapshot&) = delete;
  LevelDbSnapshot& operator=(const LevelDbSnapshot&) = delete;

  Result<std::optional<std::string>> get(std::string_view key) const override {
    return database_->get(options(), key);
  }
  Result<void> scan(
      std::string_view from, std::string_view to,
      const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    return database_->scan(options(), from, to, visit);
  }
  Result<std::optional<ReplayFrom>> position() const override { return read_position(*this); }

 private:
  leveldb::ReadOptions options() const {
    leveldb::ReadOptions options = verified();
    options.snapshot = snapshot_;
    return options;
  }
  const std::shared_ptr<const Database> database_;
  const leveldb::Snapshot* const snapshot_;
};

/// LevelDB would keep a file of remarks beside its data.
class NoInfoLog final : public leveldb::Logger {
 public:
  void Logv(const char*, std::va_list) override {}
};

class LevelDbIndex final : public IndexStore {
 public:
  LevelDbIndex(FileSystem& files, std::string directory)
      : files_(files),
        env_(files),
        directory_(std::move(directory)),
        cache_(leveldb::NewLRUCache(kCacheBytes)),
        filter_(leveldb::NewBloomFilterPolicy(kFilterBitsPerKey)) {}

  Result<std::shared_ptr<const Database>> open() const {
    const std::lock_guard lock(mutex_);
    if (database_) return database_;
    TALLY_TRY_VOID(check());
    env_.forget();
    leveldb::Options options;
    options.env = &env_;
    options.info_log = &info_log_;
    options.create_if_missing = true;
    options.paranoid_checks = true;
    options.write_buffer_size = kWriteBufferBytes;
    options.block_cache = cache_.get();
    options.filter_policy = filter_.get();
    options.max_open_files = kOpenFilesMax;
    leveldb::DB* opened = nullptr;
    const leveldb::Status status = leveldb::DB::Open(options, directory_, &opened);
    if (!status.ok()) return error_of(env_, status, "open");
    database_.reset(new Database{env_, std::unique_ptr<leveldb::DB>(opened)});
    return database_;
  }

  Result<void> write(const IndexBatch& batch) override {
    if (full_) TALLY_TRY_VOID(make_ready_to_reopen());
    TALLY_TRY(const auto database, open());
    leveldb::WriteBatch writes;
    for (const IndexBatch::Operation& operation : batch.operations) {
      if (operation.value) {
        writes.Put(slice(operation.key), slice(*operation.value));
      } else {
        writes.Delete(slice(operation.key));
      }
    }
    writes.Put(slice(kPositionKey), encode(batch.position));
    leveldb::WriteOptions options;
    options.sync = !TALLY_SEEDED_BUG("hole_in_unsynced_index");
    TALLY_FAIL_POINT("index.checkpoint.before_write");
    const leveldb::Status status = database->db->Write(options, &writes);
    TALLY_FAIL_POINT("index.checkpoint.after_write");
    if (status.ok()) return {};
    Error error = error_of(env_, status, "write");
    full_ = error.code == ErrorCode::kDiskFull;
    return error;
  }

  Result<std::optional<std::string>> get(std::string_view key) const override {
    TALLY_TRY(const auto database, open());
    return database->get(verified(), key);
  }

  Result<void> scan(
      std::string_view from, std::string_view to,
      const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    TALLY_TRY(const auto database, open());
    return database->scan(verified(), from, to, visit);
  }

  Result<std::optional<ReplayFrom>> position() const override { return read_position(*this); }

  Result<std::unique_ptr<IndexView>> snapshot() const override {
    TALLY_TRY(auto database, open());
    return std::unique_ptr<IndexView>(std::make_unique<LevelDbSnapshot>(std::move(database)));
  }

 private:
  Result<void> check() const {
    TALLY_TRY(const auto lock, files_.lock(directory_ + "/LOCK"));
    return check_leveldb(files_, directory_);
  }

  /// After an error LevelDB answers reads, but takes no writes until it is opened anew. That
  /// writes a table: without room for it nothing could be read any more.
  Result<void> make_ready_to_reopen() {
    TALLY_TRY(const DiskSpace space, files_.disk_space(directory_));
    if (space.free_bytes < kReopenBytes) {
      return Error(ErrorCode::kDiskFull, "index: " + std::to_string(space.free_bytes) +
                                             " bytes are free, " + std::to_string(kReopenBytes) +
                                             " are needed");
    }
    const std::lock_guard lock(mutex_);
    if (database_.use_count() > 1) {
      return Error(ErrorCode::kDiskFull, "index: it is read and cannot be opened anew");
    }
    database_.reset();
    full_ = false;
    return {};
  }

  FileSystem& files_;
  mutable LevelDbEnv env_;
  mutable NoInfoLog info_log_{};
  const std::string directory_;
  const std::unique_ptr<leveldb::Cache> cache_;
  const std::unique_ptr<const leveldb::FilterPolicy> filter_;
  mutable std::mutex mutex_{};
  mutable std::shared_ptr<const Database> database_{};
  bool full_ = false;  ///< the last write found no space
};

}  // namespace

Result<std::unique_ptr<IndexStore>> open_leveldb_index(FileSystem& files,
                                                       const std::string& directory) {
  TALLY_TRY_VOID(files.make_directories(directory));
  auto index = std::make_unique<LevelDbIndex>(files, directory);
  if (auto opened = index->open(); !opened) return std::move(opened).error();
  if (auto position = index->position(); !position) return std::move(position).error();
  return std::unique_ptr<IndexStore>(std::move(index));
}

Result<void> destroy_leveldb_index(FileSystem& files, const std::string& directory) {
  LevelDbEnv env(files);
  leveldb::Options options;
  options.env = &env;
  const leveldb::Status status = leveldb::DestroyDB(directory, options);
  if (!status.ok()) return error_of(env, status, "remove");
  return {};
}

}  // namespace tally::store
