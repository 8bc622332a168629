#include "broker/server/shard.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "protocol/base/check.h"
#include "protocol/base/random.h"
#include "store/segment.h"

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
  std::string index = root + "/index";
  std::string index_room = root + "/index.room";
  std::string condemned = root + "/index.condemned";  ///< exists: the index is not to be trusted
};

struct Opening {
  const Settings& settings;
  ShardId shard;
  store::FileSystem& files;
  const SpaceChanged& space_changed;
  Paths paths;
  IndexRoom& room;
};

/// Nothing when the index has to be rebuilt; `why` says the reason.
using Attempt = Result<std::optional<Shard>>;

bool means_rebuild(const Error& error) {
  return error.code == ErrorCode::kDataDamaged || error.code == ErrorCode::kIo;
}

std::uint64_t index_room_bytes(const Settings& settings) {
  return std::clamp(settings.segment_bytes / 4, kIndexRoomBytesMin, kIndexRoomBytesMax);
}

store::LogOptions log_options(const Opening& opening) {
  return {.directory = opening.paths.log,
          .shard = opening.shard,
          .segment_bytes = opening.settings.segment_bytes,
          .new_log_id = random_log_id(),
          .reserve_bytes = 2 * opening.settings.segment_bytes + kEntryBytesLargest,
          .keep_free_bytes = index_room_bytes(opening.settings),
          .space_changed = opening.space_changed};
}

/// What is in flight, and every END that is promised, fits into the reserve (store/README.md).
CoreOptions core_options(const Settings& settings) {
  CoreOptions options = settings.core;
  options.log_bytes_in_flight_max =
      std::min(options.log_bytes_in_flight_max, settings.segment_bytes / 4);
  options.end_bytes_max = settings.segment_bytes;
  return options;
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
  return with_room(opening,
                   [&] { return store::open_leveldb_index(opening.files, opening.paths.index); });
}

/// Directories that this process may not add files to fail late, when something was written already.
Result<void> check_directories(const Opening& opening) {
  const std::string& root = opening.settings.data_dir;
  for (const std::string& directory :
       {root, opening.paths.root, opening.paths.log, opening.paths.index}) {
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
  TALLY_TRY(const auto names, opening.files.list(opening.paths.log));
  if (std::any_of(names.begin(), names.end(), store::parse_segment_name)) return false;
  TALLY_TRY(const bool has_index, opening.files.exists(opening.paths.index + "/CURRENT"));
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

/// Continues behind the newest checkpoint.
Attempt open_with_index(const Opening& opening, std::string& why) {
  const auto give_up = [&](std::string reason) {
    why = std::move(reason);
    return std::optional<Shard>{};
  };
  TALLY_TRY(const bool condemned, opening.files.exists(opening.paths.condemned));
  if (condemned) return give_up("the index failed before");
  Shard shard;
  auto index = open_index(opening);
  if (!index && means_rebuild(index.error())) return give_up(index.error().message);
  TALLY_TRY(shard.index, std::move(index));
  auto position = shard.index->position();
  if (!position && means_rebuild(position.error())) return give_up(position.error().message);
  TALLY_TRY(const auto from, std::move(position));
  if (!from) return give_up("no checkpoint");

  shard.core =
      std::make_unique<BrokerCore>(core_options(opening.settings), opening.shard, from->log);
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

/// Begins with an empty index, once the log is known to be readable.
Result<void> begin_rebuild(const Opening& opening, LogId log, Shard& shard) {
  TALLY_TRY_VOID(store::destroy_leveldb_index(opening.files, opening.paths.index));
  TALLY_TRY(const bool condemned, opening.files.exists(opening.paths.condemned));
  if (condemned) TALLY_TRY_VOID(opening.files.remove(opening.paths.condemned));
  TALLY_TRY(shard.index, open_index(opening));
  shard.core = std::make_unique<BrokerCore>(core_options(opening.settings), opening.shard, log);
  return shard.core->restore(*shard.index);
}

Result<Shard> rebuild(const Opening& opening, const std::string& why) {
  Shard shard;
  Result<void> begun;
  store::LogOptions options = log_options(opening);
  options.identified = [&](LogId log) { begun = begin_rebuild(opening, log, shard); };
  auto opened = store::Log::open(opening.files, options, store::ReplayFrom{},
                                 [&](const store::EntryView& entry) -> Result<void> {
                                   TALLY_TRY_VOID(begun);
                                   return replay(opening, shard, entry);
                                 });
  if (!opened) {
    shard = Shard{};
    TALLY_TRY_VOID(store::destroy_leveldb_index(opening.files, opening.paths.index));
    return std::move(opened).error();
  }
  TALLY_TRY_VOID(begun);
  TALLY_CHECK(opened->log != nullptr && shard.core != nullptr);
  report(opened->report, "rebuild: " + why);
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
  auto file = files.open(paths.condemned, store::FileSystem::Mode::kCreate);
  const auto synced = files.sync_directory(paths.root);
  if (!file || !synced)
    spdlog::warn("the index could not be marked; remove {} before the next start", paths.index);
}

Result<Shard> open_shard(const Settings& settings, ShardId shard, store::FileSystem& files,
                         const SpaceChanged& space_changed) {
  const Paths paths(settings, shard);
  auto room = std::make_unique<IndexRoom>(files, paths.index_room, index_room_bytes(settings));
  const Opening opening{settings, shard, files, space_changed, paths, *room};
  TALLY_TRY_VOID(files.make_directories(opening.paths.log));
  TALLY_TRY(auto lock, files.lock(settings.data_dir + "/lock"));
  // Opening an index changes its files, so a log that is to be refused is looked at first.
  TALLY_TRY_VOID(check_directories(opening));
  TALLY_TRY_VOID(store::Log::check(files, log_options(opening)));
  TALLY_TRY(const bool first_start, is_first_start(opening));
  std::string why = "no checkpoint";
  std::optional<Shard> opened;
  if (!first_start) {
    TALLY_TRY(opened, open_with_index(opening, why));
  }
  if (!opened) {
    TALLY_TRY(opened, rebuild(opening, why));
  }
  if (opened->log->space() == store::Space::kEnough) TALLY_TRY_VOID(room->make());
  opened->lock = std::move(lock);
  opened->room = std::move(room);
  return *std::move(opened);
}

}  // namespace tally::broker
