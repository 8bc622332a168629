#pragma once
// A store under test: the real log, with an index beside it, over a file system in memory; and the
// truth about it, which the suites compare with what a start finds.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/base.h"
#include "store/index_store.h"
#include "store/log.h"
#include "store/segment_removal.h"
#include "tests/store/log_fixture.h"
#include "tests/support/memory_file_system.h"

namespace tally::testing {

inline const std::string kRoot = "/data/0";
inline const std::string kLogDirectory = kRoot + "/log";
inline const std::string kIndexDirectory = kRoot + "/index";
inline const std::string kBaseDirectory = kRoot + "/base";
inline constexpr std::uint64_t kStateSegmentBytes = 20u << 10;

store::LogOptions state_log_options(const std::string& root = kRoot);

/// What was submitted to the log and what was answered. Entry i of the log is entries[i - 1].
struct Truth {
  std::vector<std::shared_ptr<const OwnedEntry>> entries{};
  std::size_t acknowledged = 0;
  std::size_t checkpoint = 0;  ///< entries in the newest checkpoint that was acknowledged
  std::size_t base = 0;        ///< entries in the newest base that was acknowledged

  Lsn end(std::size_t count) const {
    return count == 0 ? Lsn(0) : entries[count - 1]->entry.header().end();
  }
  /// A checkpoint behind so many entries.
  store::ReplayFrom position(std::size_t count) const;
  /// The number of entries that end at `lsn` or before.
  std::size_t count_at(Lsn lsn) const;
};

/// What a start found.
struct Recovered {
  std::unique_ptr<store::Log> log{};
  store::RecoveryReport report{};
  std::vector<store::EntryHeader> seen{};

  Result<void> open(store::FileSystem& files, const store::ReplayFrom& from,
                    const std::string& root = kRoot);
};

// Each compares with the truth and says what is wrong; nothing when all is well.
using Complaint = std::optional<std::string>;

/// Every acknowledged entry is there, nothing else but what was submitted, in order, without gaps.
Complaint compare_entries(const Recovered& found, const Truth& truth, std::size_t from);
/// Messages of the entries in (from, to] are read as they were sent; those whose segment was
/// removed are expired.
Complaint compare_messages(const store::Log& log, const Truth& truth, std::size_t from,
                           std::size_t to);
/// Compares rows, as they come, with those of the first `count` entries: one of each.
class RowComparison {
 public:
  RowComparison(const Truth& truth, std::size_t count) : truth_(truth), count_(count) {}
  bool operator()(std::string_view key, std::string_view value);  ///< false: enough is known
  Complaint end() const;

 private:
  const Truth& truth_;
  const std::size_t count_;
  std::size_t rows_ = 0;
  Complaint wrong_{};
};

/// The rows of a checkpoint: one of each entry up to its position, none of a later one.
Complaint compare_rows(const store::IndexView& index, const Truth& truth, std::size_t count);

/// The bases that are listed: whole, of entries that are acknowledged, and the newest one of the
/// truth among them. `newest` becomes the number of entries in the newest. A log that begins behind
/// LSN 0 has one, and each finds the segments behind it.
Complaint compare_bases(store::FileSystem& files, const Truth& truth, std::size_t& newest);

/// Where the log of a disk begins, by the names of its segments; 0 without any.
Lsn first_lsn(store::FileSystem& files);

/// Opens LevelDB: all rows of entries up to its position, which becomes `from`, no older than the
/// newest acknowledged checkpoint; or `damaged` and removed: `from` stays 0.
Complaint open_leveldb(store::FileSystem& files, const Truth& truth, std::size_t& from,
                       bool& damaged);

/// The rows that entries in (from, to] add to the index.
store::IndexBatch make_checkpoint(const Truth& truth, std::size_t from, std::size_t to);

/// What a workload is made of.
enum class Step : std::uint8_t {
  kSmall,       ///< a small entry
  kBig,         ///< one of several pages
  kHuge,        ///< one larger than a segment
  kBatch,       ///< three entries in one write
  kFill,        ///< one that ends where the segment does
  kRoll,        ///< one that just does not fit
  kMark,        ///< one without messages, as an idle log gets it
  kCheckpoint,  ///< of all that is acknowledged
  kBase,        ///< of all that is acknowledged
  kTrim,     ///< removes what lies before checkpoint and base, which it makes when there are none
  kSpace,    ///< the disk is full, and all later files are refused; the next time it has room
  kRestart,  ///< the process dies and starts again
};
inline constexpr std::size_t kSteps = static_cast<std::size_t>(Step::kRestart) + 1;
const char* name(Step step);

/// The store of one process after the other, in one folder of a file system.
class Machine {
 public:
  enum class IndexKind : std::uint8_t { kMap, kLevelDb };
  Machine(store::FileSystem& files, IndexKind kind, std::string root = kRoot)
      : files_(files), kind_(kind), root_(std::move(root)) {}

  /// Starts the first process.
  Result<void> start();
  /// Makes the disk full, or not; without it kSpace does nothing.
  void set_fill(std::function<void(bool full)> fill) { fill_ = std::move(fill); }
  /// The first error is final: nothing is done afterwards. On a full disk a write that needs a new
  /// file fails once the reserve is used: then room is made, and the process starts again.
  Result<void> run(Step step);
  /// Writes entries with these bodies in one write.
  Result<void> write(const std::vector<std::string>& bodies);
  /// The entries of a write that failed, once more.
  Result<void> write_again();

  const Truth& truth() const { return truth_; }
  /// Of the process that runs; null before its log is open.
  const store::Log* log() const { return now_.log.get(); }
  bool is_full() const { return full_; }  ///< its disk
  std::size_t durable_entries() const;    ///< as its log says
  /// What is wrong with the last start; nothing when all is well.
  const Complaint& complaint() const { return complaint_; }

 private:
  Result<void> open();
  Result<void> run_on_disk(Step step);
  Result<void> checkpoint();
  Result<void> base();
  Result<void> trim();
  void change_space();
  std::string body(std::size_t bytes);
  std::uint64_t room() const;  ///< for one message, in the current segment

  store::FileSystem& files_;
  const IndexKind kind_;
  const std::string root_;
  std::unique_ptr<store::IndexStore> index_{};
  Recovered now_{};
  std::unique_ptr<store::SegmentRemoval> removal_{};  ///< of the log that is open
  std::function<void(bool full)> fill_{};
  bool full_ = false;
  Truth truth_{};
  Complaint complaint_{};
  std::uint64_t serial_ = 0;
};

}  // namespace tally::testing
