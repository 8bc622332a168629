#pragma once
// Bases: the small live state of a shard at one applied entry, as rows. A base is primary data: with
// the segments from its `oldest_needed` on it rebuilds everything, so older segments may go.
//
// Operation: a BaseWriter takes rows in ascending order of their keys and writes `next.base`;
// finish() syncs it, reads it back, and names it `<position.next, 20 digits>.base`. read_base()
// checks everything it reads. What rows mean is the core's business (broker/core/base_rows.h).
// Byte tables in store/README.md. Concurrency: one thread per object.
// Errors: IO_ERROR is final as in Log::write() (the process must end); DISK_FULL is not: the writer
// is thrown away and what it wrote is removed. Reading: DATA_DAMAGED, DATA_FORMAT, IO_ERROR.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <tally/result.hpp>
#include <vector>

#include "store/file_system.h"
#include "store/log.h"

namespace tally::store {

/// What a base says of itself.
struct BaseInfo {
  ShardId shard{};
  ReplayFrom position{};  ///< the newest entry that is applied in it
  /// The oldest LSN that its state refers to: no later than position.next. Segments from the one
  /// that holds it are needed.
  Lsn oldest_needed{};
};

class BaseWriter {
 public:
  static Result<BaseWriter> begin(FileSystem& files, const std::string& directory, ShardId shard,
                                  const ReplayFrom& position);
  ~BaseWriter();
  BaseWriter(BaseWriter&&) noexcept;
  BaseWriter& operator=(BaseWriter&&) noexcept;

  Result<void> add(std::string_view key, std::string_view value);
  Result<BaseInfo> finish(Lsn oldest_needed);
  std::uint64_t bytes() const;  ///< written so far

 private:
  struct State;
  explicit BaseWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Bases of a directory, ascending. A left-over `next.base` is ignored; other files are foreign
/// (DATA_FORMAT). Reads only headers and trailers.
Result<std::vector<BaseInfo>> list_bases(FileSystem& files, const std::string& directory);
/// Rows in ascending order, each checked before it is shown, until `visit` returns false.
Result<void> read_base(
    FileSystem& files, const std::string& directory, Lsn position,
    const std::function<bool(std::string_view key, std::string_view value)>& visit);
Result<void> remove_base(FileSystem& files, const std::string& directory, Lsn position);

}  // namespace tally::store
