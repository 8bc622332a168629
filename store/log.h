#pragma once
// The segmented commit log of one shard: recovery, the one writer, and readers.
//
// Operation: Log::open() recovers (rules in store/README.md), replays every entry at or after a
// position, and leaves the log ready to append. write() takes sealed entries, writes them with one
// pwritev per segment piece and one fdatasync, rolls segments, and returns when they are durable.
// LogReader reads records by LSN, from any thread, while the log is written. Concurrency: write()
// by one thread. LogReader: thread-safe. Limitations: the first error of write() is final: the
// caller must end the process (exit 4); nothing is retried. Errors of open(): DATA_LOCKED,
// DATA_FORMAT, DATA_DAMAGED, IO_ERROR, DISK_FULL; nothing was changed then.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tally/result.hpp>

#include "store/entry.h"
#include "store/file_system.h"
#include "store/space.h"

namespace tally::store {

struct LogOptions {
  std::string directory{};  ///< DIR/<shard>/log
  ShardId shard{};
  std::uint64_t segment_bytes = 256ull << 20;
  LogId new_log_id{};  ///< used when the directory is empty
  /// Everything before it was durable, as bases say: a log that ends earlier is refused.
  Lsn durable_for_sure{};
  /// Called once, before the first visit: whose entries they are. May be empty.
  std::function<void(LogId)> identified{};
  /// A thread of the log makes the next segment before it is needed. False: the roll makes it, and
  /// retry_space() what there was no room for, so that everything happens in one thread
  /// (simulation, crash tests).
  bool prepare_ahead = true;
  /// Of `reserve.segment`, really allocated: the segment that is taken when no other can be made.
  /// A new log is not made without it. 0: none.
  std::uint64_t reserve_bytes = 0;
  /// The log leaves so much of the disk to others by what it makes ahead of need.
  std::uint64_t keep_free_bytes = 0;
  /// Called when the space changed (at first it is kEnough), on any thread of the log, or on the
  /// one that calls open() or write(). Must not call the log. May be empty.
  std::function<void(Space)> space_changed{};
};

/// Where replay begins, as a checkpoint or a base remembers it. index 0: from the first entry of
/// the log, which must stand at LSN 0.
struct ReplayFrom {
  EntryIndex applied{};            ///< newest applied entry
  Lsn next{};                      ///< end of that entry
  std::uint64_t entry_checksum{};  ///< its checksum; must match the log
  std::int64_t time_ms{};          ///< its time
  LogId log{};
  bool operator==(const ReplayFrom&) const = default;
};

struct RecoveryReport {
  bool checkpoint_matched = false;  ///< false: `from` did not match the log; nothing was replayed
                                    ///< (call open again from 0)
  std::string mismatch{};           ///< why it did not
  std::uint64_t entries_replayed = 0;
  Lsn replayed_from{};
  std::uint64_t bytes_cut = 0;  ///< of a torn tail
  std::uint64_t entries_cut_without_witness = 0;
};

/// Reads records by LSN while the log grows. Thread-safe.
class LogReader {
 public:
  virtual ~LogReader() = default;
  enum class Wait : bool { kCachedOnly, kDisk };
  /// Appends the block of the record at `lsn` (`record_bytes` long in all) to `out`, after checking
  /// that the record's own LSN, its lengths and the block checksum match. False: the bytes are not
  /// in the page cache (only with kCachedOnly). Errors: DATA_DAMAGED, EXPIRED (segment is gone),
  /// IO_ERROR.
  virtual Result<bool> read_block(Lsn lsn, std::uint32_t record_bytes, Wait wait,
                                  std::string& out) const = 0;
};

class EntryWalk;
class SegmentRemoval;

class Log {
 public:
  using Visitor = std::function<Result<void>(const EntryView&)>;

  struct Opened {
    std::unique_ptr<Log> log{};  ///< null when !report.checkpoint_matched
    RecoveryReport report{};
  };
  struct Look {
    LogId log{};
    Lsn first{};
  };
  /// A first look, for callers that have something to open before the log, such as the index:
  /// refuses files, headers and a last segment that open() would refuse. Nothing: there is no log
  /// yet. Changes nothing.
  static Result<std::optional<Look>> check(FileSystem& files, const LogOptions& options);
  /// Recovers and replays. `visit` is called in order for each entry after `from`.
  static Result<Opened> open(FileSystem& files, const LogOptions& options, const ReplayFrom& from,
                             const Visitor& visit);

  ~Log();

  /// Writes and syncs sealed entries that follow each other and the log's end. Returns when they
  /// are durable.
  Result<void> write(std::span<Entry* const> entries);

  LogId id() const;
  Lsn first() const;  ///< earliest retained; any thread
  Lsn end() const;    ///< where the next entry begins
  EntryIndex last_index() const;
  std::int64_t last_time_ms() const;  ///< of the newest entry; 0 when there is none
  Lsn durable() const;
  Space space() const;  ///< from any thread
  /// Without LogOptions::prepare_ahead: tries again to make what there was no room for.
  void retry_space();
  std::shared_ptr<const LogReader> reader() const;
  std::uint64_t segments() const;  ///< files, each of which is open; any thread
  /// Both may outlive neither the log's file system nor its directory; each belongs to one thread.
  std::unique_ptr<SegmentRemoval> removal() const;
  std::unique_ptr<EntryWalk> walk(Lsn from, Lsn to) const;

  struct Counters {
    std::uint64_t syncs = 0, entries = 0, records = 0, bytes = 0, rolls = 0;
  };
  Counters counters() const;  ///< writer's thread only

 private:
  struct State;
  explicit Log(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tally::store
