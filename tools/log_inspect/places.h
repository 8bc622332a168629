#pragma once
// Where the files of a shard stand.

#include <string>
#include <tally/ids.hpp>
#include <tally/result.hpp>
#include <utility>
#include <vector>

namespace tally::tools {

struct ShardPlace {
  std::string lock{};  ///< of the data directory; empty: a log directory was named
  ShardId shard{};
  std::string log{};
  std::string base{};   ///< empty: a log directory was named that has none beside it
  std::string index{};  ///< empty: a log directory was named, or there is no index
  /// An error of the index ended the broker: it is rebuilt whatever it looks like.
  bool index_condemned = false;
};

/// The shards of a data directory, or the one of a log directory. Errors: INVALID_ARGUMENT when
/// there is no log, DATA_DAMAGED, DATA_FORMAT, DATA_UNUSABLE, IO_ERROR.
Result<std::vector<ShardPlace>> find_shards(const std::string& directory);

/// As long as it lives no broker starts on the data; DATA_LOCKED when one runs. Changes nothing, so it
/// needs no permission to write.
class BrokerLock {
 public:
  static Result<BrokerLock> take(const ShardPlace& place);
  ~BrokerLock();
  BrokerLock(BrokerLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  BrokerLock& operator=(BrokerLock&&) = delete;

 private:
  explicit BrokerLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;  ///< -1: nothing to lock, no broker was ever there
};

}  // namespace tally::tools
