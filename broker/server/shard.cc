#include "broker/server/shard.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "broker/core/index_keys.h"
#include "broker/server/shard_bases.h"
#include "protocol/base/fail_point.h"
#include "protocol/base/random.h"

namespace tally::broker {
namespace {

/// No entry is longer: it is closed at limits::kEntryBytesMax, or one message's.
constexpr std::uint64_t kEntryBytesLargest = limits::kEntryBytesMax + (1u << 20);
constexpr std::uint64_t kIndexRoomBytesMin = 8u << 20;
constexpr std::uint64_t kIndexRoomBytesMax = 64u << 20;

struct Paths {
  explicit Paths(const Settings& settings, ShardId shard)
      : root(settings.data_dir + "/" + std::to_string(shard.value)) {}
  std::string root;
  std::string log = root + "/log";
  std::string bases = root + "/base";
  std::string index = root + "/index";
  std::string index_room = root + "/index.room";
  std::string condemned = root + "/index.condemned";  ///< exists: the index is not to be trusted
};

class LevelDbHome final : public IndexHome {
 public:
  LevelDbHome(store::FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}
  Result<bool> exists() override { return files_.exists(path_ + "/CURRENT"); }
  Result<std::unique_ptr<store::IndexStore>> open() override {
    return store::open_leveldb_index(files_, path_);
  }
  Result<void> destroy() override { return store::destroy_leveldb_index(files_, path_); }

 private:
  store::FileSystem& files_;
  const std::string path_;
};

struct Opening {
  const Settings& settings;
  ShardId shard;
  store::FileSystem& files;
  const ShardOptions& options;
  Paths paths;
  IndexHome& index;
  IndexRoom& room;
  CoreOptions core{};
  std::optional<store::Log::Look> log{};
  ShardBases bases{};

  std::unique_ptr<BrokerCore> make_core(LogId log_id) const {
    return std::make_unique<BrokerCore>(core, shard, log_id);
  }
};

/// What is in flight, and every END that is promised, fits into the reserve (store/README.md).
Result<CoreOptions> core_options(const Settings& settings, store::FileSystem& files) {
  CoreOptions options = settings.core;
  options.log_bytes_in_flight_max =
      std::min(options.log_bytes_in_flight_max, settings.segment_bytes / 4);
  options.end_bytes_max = settings.segment_bytes;
  options.retention_bytes = settings.retention_bytes;
  if (options.retention_bytes != 0) return options;
  TALLY_TRY(const store::DiskSpace disk, files.disk_space(settings.data_dir));
  options.retention_bytes = disk.total_bytes / 100 * kRetentionDiskPercent;
  return options;
}

Result<void> condemn(store::FileSystem& files, const Paths& paths) {
  TALLY_TRY_VOID(files.open(paths.condemned, store::FileSystem::Mode::kCreate));
  return files.sync_directory(paths.root);
}

/// Nothing when the index has to be rebuilt; `why` says the reason.
using Attempt = Result<std::optional<Shard>>;

bool means_rebuild(const Error& error) {
  return error.code == ErrorCode::kDataDamaged || error.code == ErrorCode::kIo;
}

std::uint64_t index_room_bytes(const Settings& settings) {
  return std::clamp(settings.segment_bytes / 4, kIndexRoomBytesMin, kIndexRoomBytesMax);
}

/// Before the log takes new messages: they may use up what is free.
void make_room(IndexRoom& room) {
  if (const auto made = room.make(); !made)
    spdlog::error("the room of the index cannot be made: {}", to_string(made.error()));
}

store::LogOptions log_options(const Opening& opening) {
  return {.directory = opening.paths.log,
          .shard = opening.shard,
          .segment_bytes = opening.settings.segment_bytes,
          .new_log_id =
              opening.options.new_log_id.is_zero() ? random_log_id() : opening.options.new_log_id,
          .durable_for_sure = opening.bases.newest(),
          .prepare_ahead = opening.options.prepare_ahead,
          .reserve_bytes = 2 * opening.settings.segment_bytes + kEntryBytesLargest,
          .keep_free_bytes = index_room_bytes(opening.settings),
          .space_changed = [&room = opening.room,
                            told = opening.options.space_changed](store::Space space) {
            if (space == store::Space::kEnough) make_room(room);
            if (told) told(space);
          }};
}

/// Does it again with the index's room when the disk is full.
template <typename Work>
auto with_room(const Opening& opening, const Work& work) -> decltype(work()) {
  auto result = work();
  if (result || result.error().code != ErrorCode::kDiskFull) return result;
  TALLY_TRY(const bool given, opening.room.give());
  return given ? work() : std::move(result);
}

auto open_index(const Opening& opening) {
  return with_room(opening, [&] { return opening.index.open(); });
}

/// Directories that this process may not add files to fail late, when something was written already.
Result<void> check_directories(const Opening& opening) {
  const std::string& root = opening.settings.data_dir;
  for (const std::string& directory :
       {root, opening.paths.root, opening.paths.log, opening.paths.bases, opening.paths.index}) {
    TALLY_TRY(const bool there, opening.files.exists(directory));
    if (!there) continue;
    TALLY_TRY(const store::Volume volume, opening.files.describe(directory));
    if (!volume.writable) {
      return Error(ErrorCode::kDataUnusable, directory + " is not writable for this user");
    }
    if (const std::string_view lost = what_is_lost(volume); directory == root && !lost.empty()) {
      spdlog::warn("{} is on {}: {}", root, volume.type, lost);
    }
  }
  return {};
}

/// True when there is no log yet. An index is only made beside one, so then it must not stand there.
Result<bool> is_first_start(const Opening& opening) {
  if (opening.log) return false;
  TALLY_TRY(const bool has_index, opening.index.exists());
  if (!has_index) return true;
  return Error(ErrorCode::kDataDamaged, opening.paths.log + ": the log is gone; " +
                                            opening.paths.index + " says that there was one");
}

void report(const store::RecoveryReport& recovery, const std::string& how) {
  spdlog::info("replayed {} entries from LSN {} ({})", recovery.entries_replayed,
               recovery.replayed_from.value, how);
  if (recovery.bytes_cut > 0) {
    spdlog::warn("cut {} bytes of a torn tail, {} of its entries may have been acknowledged",
                 recovery.bytes_cut, recovery.entries_cut_without_witness);
  }
}

/// Stores what changed on the way, so that a long replay needs no more memory than serving.
Result<void> replay(const Opening& opening, const Shard& shard, const store::EntryView& entry) {
  TALLY_TRY_VOID(shard.core->replay(entry));
  if (!shard.core->checkpoint_due()) return {};
  const auto checkpoint = shard.core->take_checkpoint();
  TALLY_TRY_VOID(with_room(opening, [&] { return shard.index->write(*checkpoint); }));
  shard.core->checkpoint_done();
  return {};
}

/// False for an old copy of an index: it knows decisions that retention made forgotten since.
Result<bool> forgot_enough(const Opening& opening, const store::IndexStore& index) {
  TALLY_TRY(const auto row, index.get(keys::prefix(opening.shard, keys::Kind::kForgotten)));
  const auto forgotten = keys::decode_forgotten(row);
  return forgotten && (!opening.log || *forgotten >= opening.log->first);
}

/// Continues behind the newest checkpoint.
Attempt open_with_index(const Opening& opening, std::string& why) {
  const auto give_up = [&](std::string reason) {
    why = std::move(reason);
    return std::optional<Shard>{};
  };
  TALLY_TRY(const bool condemned, opening.files.exists(opening.paths.condemned));
  if (condemned) return give_up("the index failed before");
  TALLY_TRY(const bool exists, opening.index.exists());
  if (!exists) return give_up("no checkpoint");
  Shard shard;
  auto index = open_index(opening);
  if (!index && means_rebuild(index.error())) return give_up(index.error().message);
  TALLY_TRY(shard.index, std::move(index));
  auto position = shard.index->position();
  if (!position && means_rebuild(position.error())) return give_up(position.error().message);
  TALLY_TRY(const auto from, std::move(position));
  if (!from) return give_up("no checkpoint");
  TALLY_TRY(const bool complete, forgot_enough(opening, *shard.index));
  if (!complete) return give_up("it is older than the log's first segment");

  shard.core = opening.make_core(from->log);
  auto restored = shard.core->restore(*shard.index);
  if (!restored && means_rebuild(restored.error())) return give_up(restored.error().message);
  TALLY_TRY_VOID(std::move(restored));
  Result<void> replayed;
  auto opened = store::Log::open(opening.files, log_options(opening), *from,
                                 [&](const store::EntryView& entry) -> Result<void> {
                                   replayed = replay(opening, shard, entry);
                                   return replayed;
                                 });
  if (!replayed && means_rebuild(replayed.error())) return give_up(replayed.error().message);
  if (!opened) return std::move(opened).error();
  if (!opened->report.checkpoint_matched) return give_up(opened->report.mismatch);
  report(opened->report, "checkpoint");
  shard.log = std::move(opened->log);
  return std::optional<Shard>(std::move(shard));
}

/// Begins with an index of the base's rows, or an empty one, once the log is known to be readable.
Result<void> begin_rebuild(const Opening& opening, LogId log, const store::BaseInfo* base,
                           Shard& shard) {
  TALLY_TRY(bool condemned, opening.files.exists(opening.paths.condemned));
  if (base != nullptr && !condemned) {
    // A process that ends before all rows are there, and known to be complete, leaves an index that looks whole.
    TALLY_TRY_VOID(condemn(opening.files, opening.paths));
    condemned = true;
  }
  TALLY_TRY_VOID(opening.index.destroy());
  TALLY_TRY(shard.index, open_index(opening));
  if (base != nullptr) {
    TALLY_TRY_VOID(with_room(opening, [&] {
      return restore_base(opening.files, opening.paths.bases, *base, *shard.index);
    }));
    TALLY_FAIL_POINT("server.after_restored_base");
  }
  if (condemned && base == nullptr) TALLY_TRY_VOID(opening.files.remove(opening.paths.condemned));
  shard.core = opening.make_core(log);
  return shard.core->restore(*shard.index);
}

/// The log behind the base, or all of it.
Result<store::Log::Opened> replay_all(const Opening& opening, const store::BaseInfo* base,
                                      Shard& shard) {
  Result<void> begun;
  store::LogOptions options = log_options(opening);
  options.identified = [&](LogId log) { begun = begin_rebuild(opening, log, base, shard); };
  TALLY_TRY(auto opened, store::Log::open(opening.files, options,
                                          base != nullptr ? base->position : store::ReplayFrom{},
                                          [&](const store::EntryView& entry) -> Result<void> {
                                            TALLY_TRY_VOID(begun);
                                            return replay(opening, shard, entry);
                                          }));
  TALLY_TRY_VOID(begun);
  if (!opened.report.checkpoint_matched) {
    return Error(ErrorCode::kDataDamaged, opening.paths.bases + ": the base of LSN " +
                                              std::to_string(base->position.next.value) +
                                              " does not match the log: " + opened.report.mismatch);
  }
  TALLY_TRY_VOID(shard.core->complete());
  if (base != nullptr) TALLY_TRY_VOID(opening.files.remove(opening.paths.condemned));
  return opened;
}

/// Where a rebuild begins; null: with the first entry. A log that still has it needs no base, and no base holds the messages
/// before it.
Result<const store::BaseInfo*> needed_base(const Opening& opening) {
  if (opening.log && opening.log->first == Lsn(0)) {
    return static_cast<const store::BaseInfo*>(nullptr);
  }
  if (opening.bases.oldest_error) return *opening.bases.oldest_error;
  const store::BaseInfo* base = opening.bases.oldest();
  if (base != nullptr) {
    TALLY_TRY_VOID(check_base(opening.files, opening.paths.bases, base->position.next));
  }
  return base;
}

Result<Shard> rebuild(const Opening& opening, const std::string& why) {
  TALLY_TRY(const store::BaseInfo* base, needed_base(opening));
  std::string how = "rebuild: " + why;
  if (base != nullptr) {
    how += "; base LSN " + std::to_string(base->position.next.value);
  }
  Shard shard;
  auto opened = replay_all(opening, base, shard);
  if (!opened) {
    shard = Shard{};
    TALLY_TRY_VOID(opening.index.destroy());
    TALLY_TRY(const bool condemned, opening.files.exists(opening.paths.condemned));
    if (condemned) TALLY_TRY_VOID(opening.files.remove(opening.paths.condemned));
    return std::move(opened).error();
  }
  report(opened->report, how);
  shard.log = std::move(opened->log);
  return shard;
}

}  // namespace

std::string_view what_is_lost(const store::Volume& volume) {
  switch (volume.kind) {
    case store::Volume::Kind::kDisk:
      return {};
    case store::Volume::Kind::kMemory:
      return "what is acknowledged survives a kill, and no reboot or power cut";
    case store::Volume::Kind::kRemote:
      return "its syncs and locks cannot be trusted, so a crash may lose what was acknowledged, "
             "and two brokers may write at once";
  }
  return {};
}

void condemn_index(const Settings& settings, ShardId shard, store::FileSystem& files) {
  const Paths paths(settings, shard);
  if (!condemn(files, paths))
    spdlog::warn("the index could not be marked; remove {} before the next start", paths.index);
}

Result<Shard> open_shard(const Settings& settings, ShardId shard, store::FileSystem& files,
                         const ShardOptions& options) {
  const Paths paths(settings, shard);
  LevelDbHome level_db(files, paths.index);
  auto room = std::make_unique<IndexRoom>(files, paths.index_room, index_room_bytes(settings));
  Opening opening{.settings = settings,
                  .shard = shard,
                  .files = files,
                  .options = options,
                  .paths = paths,
                  .index = options.index != nullptr ? *options.index : level_db,
                  .room = *room};
  TALLY_TRY_VOID(files.make_directories(paths.log));
  TALLY_TRY(auto lock, files.lock(settings.data_dir + "/lock"));
  TALLY_TRY(opening.core, core_options(settings, files));
  // Opening an index changes its files, so a log that is to be refused is looked at first.
  TALLY_TRY_VOID(check_directories(opening));
  TALLY_TRY(opening.log, store::Log::check(files, log_options(opening)));
  TALLY_TRY(opening.bases, find_bases(files, paths.bases, shard, opening.log));
  if (opening.log) TALLY_TRY_VOID(check_front(paths.log, *opening.log, opening.bases));
  TALLY_TRY(const bool first_start, is_first_start(opening));
  std::string why = "no checkpoint";
  std::optional<Shard> opened;
  if (!first_start) {
    TALLY_TRY(opened, open_with_index(opening, why));
  }
  if (!opened) {
    TALLY_TRY(opened, rebuild(opening, why));
  }
  if (opened->log->space() == store::Space::kEnough) make_room(*room);
  std::vector<KnownBase> bases;
  for (const store::BaseInfo& base : opening.bases.readable) bases.push_back(known(base));
  opened->bases = bases.size();
  opened->core->bases(std::move(bases));
  opened->base_directory = paths.bases;
  opened->lock = std::move(lock);
  opened->room = std::move(room);
  return *std::move(opened);
}

}  // namespace tally::broker
