#pragma once
// Opening the data of one shard: lock, index, log, and the core's state rebuilt from them.
//
// DIR/lock, DIR/<shard>/log, DIR/<shard>/base, DIR/<shard>/index, DIR/<shard>/index.room. An index that is missing, damaged
// or does not match the log is removed and rebuilt from the oldest base, or the beginning of the log. Errors (nothing was
// changed in the log): DATA_LOCKED, DATA_UNUSABLE, DATA_FORMAT, DATA_DAMAGED, IO_ERROR, DISK_FULL.

#include <functional>
#include <memory>
#include <string>

#include "broker/core/broker_core.h"
#include "broker/server/index_room.h"
#include "broker/server/settings.h"
#include "store/file_system.h"
#include "store/index_store.h"
#include "store/log.h"

namespace tally::broker {

struct Shard {
  std::unique_ptr<store::File> lock{};
  std::unique_ptr<IndexRoom> room{};
  std::unique_ptr<store::IndexStore> index{};
  std::unique_ptr<store::Log> log{};
  std::unique_ptr<BrokerCore> core{};
  std::string base_directory{};
  std::uint64_t bases = 0;
};

/// What Tally's promises lose on such a volume, as a clause; empty: nothing.
std::string_view what_is_lost(const store::Volume& volume);

/// To be called before the process ends for an error of the index: the next open_shard() rebuilds it.
void condemn_index(const Settings& settings, ShardId shard, store::FileSystem& files);

/// Where the index of a shard is kept. Errors: see store/index_store.h.
class IndexHome {
 public:
  virtual ~IndexHome() = default;
  /// Whether something was made there.
  virtual Result<bool> exists() = 0;
  virtual Result<std::unique_ptr<store::IndexStore>> open() = 0;
  virtual Result<void> destroy() = 0;
};

/// What a process of its own has no need to say.
struct ShardOptions {
  std::function<void(store::Space)> space_changed{};  ///< see store::LogOptions
  IndexHome* index = nullptr;                         ///< null: LevelDB in DIR/<shard>/index
  LogId new_log_id{};                                 ///< zero: a random one
  bool prepare_ahead = true;                          ///< see store::LogOptions
};

Result<Shard> open_shard(const Settings& settings, ShardId shard, store::FileSystem& files,
                         const ShardOptions& options = {});

}  // namespace tally::broker
