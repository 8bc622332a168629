#pragma once
// The bases of a shard at start: which there are, whether the log begins where they need it to, and an index made of one.
// One thread.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "broker/core/core_types.h"
#include "store/base.h"
#include "store/index_store.h"
#include "store/log.h"

namespace tally::broker {

struct ShardBases {
  std::vector<store::BaseInfo> readable{};  ///< ascending
  std::optional<Error> oldest_error{};      ///< why the oldest of all is not among them

  bool none() const { return readable.empty() && !oldest_error; }
  /// What a rebuild begins with; null when there is no base.
  const store::BaseInfo* oldest() const { return readable.empty() ? nullptr : &readable.front(); }
  /// Everything before it was durable.
  Lsn newest() const { return readable.empty() ? Lsn() : readable.back().position.next; }
};

/// `log`: the one beside them; nothing when it is gone. A damaged base is left out, with a warning: what may need it decides.
/// Errors: DATA_FORMAT (foreign files, another log or shard), IO_ERROR.
Result<ShardBases> find_bases(store::FileSystem& files, const std::string& directory, ShardId shard,
                              const std::optional<store::Log::Look>& log);

/// DATA_DAMAGED when segments are missing at the front of the log that retention did not remove.
Result<void> check_front(const std::string& log_directory, const store::Log::Look& log,
                         const ShardBases& bases);

/// Reads all of a base. DATA_DAMAGED, IO_ERROR.
Result<void> check_base(store::FileSystem& files, const std::string& directory, Lsn position);

/// Puts a base's rows into an empty index. Until it returns, the index is not to be trusted.
Result<void> restore_base(store::FileSystem& files, const std::string& directory,
                          const store::BaseInfo& base, store::IndexStore& index);

KnownBase known(const store::BaseInfo& base);

}  // namespace tally::broker
