#pragma once
// Bases: the small live state of a shard at one applied entry, as rows. A base is primary data: with
// the segments from its `oldest_needed` on it rebuilds everything, so older segments may go.
//
// Operation: a BaseWriter takes rows in ascending order of their keys and writes `next.base`;
// finish() syncs it, reads it back, and names it `<position.next, 20 digits>.base`. BaseReader and
// read_base() check everything they read. What rows mean is the core's business
// (broker/core/base_rows.h). Byte tables in store/README.md.
// Concurrency: one thread per object. Errors: IO_ERROR is final as in Log::write() (the process must
// end); DISK_FULL is not: the writer is thrown away and what it wrote is removed. Reading:
// DATA_DAMAGED, DATA_FORMAT, IO_ERROR.

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

using RowVisitor = std::function<bool(std::string_view key, std::string_view value)>;

class BaseReader {
 public:
  /// Reads header and trailer.
  static Result<BaseReader> open(FileSystem& files, const std::string& directory, Lsn position);
  ~BaseReader();
  BaseReader(BaseReader&&) noexcept;
  BaseReader& operator=(BaseReader&&) noexcept;

  const BaseInfo& info() const;
  /// Checks the next block (about 64 KiB), then shows its rows until `visit` returns false. False:
  /// there was none, and the file holds as many as it should.
  Result<bool> next_block(const RowVisitor& visit);

 private:
  friend class BaseWriter;
  struct State;
  explicit BaseReader(std::unique_ptr<State> state);
  static Result<BaseReader> open(std::unique_ptr<File> file, std::string path);
  std::unique_ptr<State> state_;
};

class BaseWriter {
 public:
  /// Makes the directory when it is missing, and removes the `next.base` of an earlier process.
  static Result<BaseWriter> begin(FileSystem& files, const std::string& directory, ShardId shard,
                                  const ReplayFrom& position);
  ~BaseWriter();
  BaseWriter(BaseWriter&&) noexcept;
  BaseWriter& operator=(BaseWriter&&) noexcept;

  Result<void> add(std::string_view key, std::string_view value);
  /// seal(), read_back() and publish() in one.
  Result<BaseInfo> finish(Lsn oldest_needed);

  /// Ends the file and syncs it. No add() afterwards.
  Result<void> seal(Lsn oldest_needed);
  /// Reads back what the disk has of the next blocks, about 1 MiB. False: all of it was read.
  Result<bool> read_back();
  /// Gives it its name for good.
  Result<BaseInfo> publish();
  std::uint64_t bytes() const;  ///< written so far

 private:
  struct State;
  explicit BaseWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Positions of the bases of a directory by their names, ascending. A left-over `next.base` is
/// ignored; other files are foreign (DATA_FORMAT). A missing directory holds none.
Result<std::vector<Lsn>> list_base_positions(FileSystem& files, const std::string& directory);
/// All bases, ascending; reads headers and trailers.
Result<std::vector<BaseInfo>> list_bases(FileSystem& files, const std::string& directory);
/// Rows in ascending order until `visit` returns false.
Result<void> read_base(FileSystem& files, const std::string& directory, Lsn position,
                       const RowVisitor& visit);
/// For good when it returns.
Result<void> remove_base(FileSystem& files, const std::string& directory, Lsn position);

}  // namespace tally::store
