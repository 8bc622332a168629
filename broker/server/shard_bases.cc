#include "broker/server/shard_bases.h"

#include <spdlog/spdlog.h>

#include "broker/core/index_keys.h"

namespace tally::broker {
namespace {

constexpr std::size_t kBatchBytes = 1u << 20;

std::string text(Lsn lsn) { return std::to_string(lsn.value); }

Error of_another(const std::string& directory, const store::BaseInfo& base, const char* what) {
  return {ErrorCode::kDataFormat, directory + ": the base of LSN " + text(base.position.next) +
                                      " belongs to another " + what};
}

/// Collects rows, and writes them whenever there are enough.
class RowsToIndex {
 public:
  RowsToIndex(store::IndexStore& index, const store::ReplayFrom& position) : index_(index) {
    batch_.position = position;
  }
  bool put(std::string_view key, std::string_view value) {
    bytes_ += key.size() + value.size();
    batch_.operations.push_back({.key = std::string(key), .value = std::string(value)});
    if (bytes_ >= kBatchBytes) written_ = write();
    return written_.has_value();
  }
  Result<void> write() {
    TALLY_TRY_VOID(written_);
    TALLY_TRY_VOID(index_.write(batch_));
    batch_.operations.clear();
    bytes_ = 0;
    return {};
  }

 private:
  store::IndexStore& index_;
  store::IndexBatch batch_{};
  std::size_t bytes_ = 0;
  Result<void> written_{};
};

}  // namespace

Result<ShardBases> find_bases(store::FileSystem& files, const std::string& directory, ShardId shard,
                              const std::optional<store::Log::Look>& log) {
  ShardBases found;
  TALLY_TRY(const auto positions, store::list_base_positions(files, directory));
  for (const Lsn position : positions) {
    auto base = store::BaseReader::open(files, directory, position);
    if (!base && base.error().code == ErrorCode::kDataDamaged) {
      spdlog::warn("{}; the index cannot be rebuilt from this base", to_string(base.error()));
      if (position == positions.front()) found.oldest_error = std::move(base).error();
      continue;
    }
    if (!base) return std::move(base).error();
    const store::BaseInfo& info = base->info();
    if (info.shard != shard) return of_another(directory, info, "shard");
    if (log && info.position.log != log->log) return of_another(directory, info, "log");
    found.readable.push_back(info);
  }
  return found;
}

Result<void> check_front(const std::string& log_directory, const store::Log::Look& log,
                         const ShardBases& bases) {
  if (log.first == Lsn(0)) return {};
  if (bases.none()) {
    return Error(ErrorCode::kDataDamaged,
                 log_directory + ": segments before LSN " + text(log.first) +
                     " are missing; nothing says that they were removed by retention");
  }
  if (bases.oldest_error || log.first <= bases.oldest()->oldest_needed) return {};
  return Error(ErrorCode::kDataDamaged, log_directory + ": segments from LSN " +
                                            text(bases.oldest()->oldest_needed) + " to " +
                                            text(log.first) + " are missing; the base of LSN " +
                                            text(bases.oldest()->position.next) + " needs them");
}

Result<void> check_base(store::FileSystem& files, const std::string& directory, Lsn position) {
  return store::read_base(files, directory, position,
                          [](std::string_view, std::string_view) { return true; });
}

Result<void> restore_base(store::FileSystem& files, const std::string& directory,
                          const store::BaseInfo& base, store::IndexStore& index) {
  RowsToIndex rows(index, base.position);
  rows.put(keys::prefix(base.shard, keys::Kind::kForgotten),
           keys::encode_forgotten(base.position.next));
  TALLY_TRY_VOID(store::read_base(
      files, directory, base.position.next,
      [&](std::string_view key, std::string_view value) { return rows.put(key, value); }));
  return rows.write();
}

KnownBase known(const store::BaseInfo& base) {
  return {.lsn = base.position.next,
          .oldest_needed = base.oldest_needed,
          .time_ms = base.position.time_ms};
}

}  // namespace tally::broker
