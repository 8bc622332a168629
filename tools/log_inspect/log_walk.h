#pragma once
// Reads the log of one shard from front to back and checks all of it, beside a broker that may write,
// roll and remove segments meanwhile. Reads only and takes no lock. One thread.

#include <cstdint>
#include <functional>

#include "store/recovery.h"
#include "tools/log_inspect/places.h"

namespace tally::tools {

class LogWalk {
 public:
  /// Each entry once, in order. `segment` may be another object for the next entry of the same one.
  using Visit = std::function<Result<void>(const store::Segment&, const store::CheckedEntry&)>;

  /// Opens the segments from the one that holds `from` on.
  static Result<LogWalk> open(const ShardPlace& place, Lsn from = Lsn());

  const store::Segments& segments() const { return segments_; }
  LogId log() const { return segments_.front()->header.log; }
  /// About what run() will read.
  std::uint64_t bytes() const;
  /// What looks damaged is looked at again: a broker may have removed segments meanwhile, true damage
  /// stays where it is. Errors: those of examine_log() and of `visit`.
  Result<store::Examined> run(const Visit& visit);

 private:
  LogWalk(const ShardPlace& place, Lsn from) : place_(place), from_(from) {}
  Result<void> open_segments();

  ShardPlace place_;
  Lsn from_;
  store::Segments segments_{};
};

}  // namespace tally::tools
