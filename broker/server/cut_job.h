#pragma once
// Removes for good what retention gave up, in steps: rows of decided transactions, then bases, then segments. Used by the
// index thread.
//
// Each stage may be repeated after a crash. Rows of decisions go first, while the log still names them. Bases and segments go
// only when the horizon's base was read whole: a rebuild begins with it. Bases go before segments: the oldest base says from
// where on segments must be there.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "broker/core/core_types.h"
#include "broker/server/counters.h"
#include "store/base.h"
#include "store/entry_walk.h"
#include "store/index_store.h"
#include "store/segment_removal.h"

namespace tally::broker {

class CutJob {
 public:
  CutJob(store::IndexStore& index, const store::Log& log, store::FileSystem& files,
         std::string base_directory, ShardId shard, Counters& counters);

  /// Takes the place of an earlier cut, which it includes.
  void begin(const Cut& cut);
  bool done() const { return stage_ == Stage::kDone; }

  enum class Pace : std::uint8_t { kStep, kWait };
  /// Errors: DISK_FULL (a later step() tries again), IO_ERROR; those of the index when of_index() says so.
  Result<Pace> step();
  bool of_index() const { return of_index_; }
  /// Leaves the rows of decided transactions in the index, which has no room to be written. The core does not believe them,
  /// and the next start rebuilds the index.
  void forget_no_more();

 private:
  enum class Stage : std::uint8_t { kFind, kForget, kReadBase, kBases, kSegments, kDone };

  Result<Pace> find();
  Result<Pace> forget();
  Result<bool> next_entry();
  Result<void> forget_decision(const store::RecordView& record);
  Result<void> write_forgotten();
  Result<Pace> read_base();
  Result<Pace> remove_base();
  Result<Pace> remove_segments();
  void tell() const;

  store::IndexStore& index_;
  const store::Log& log_;
  store::FileSystem& files_;
  const std::string base_directory_;
  const ShardId shard_;
  Counters& counters_;
  const std::unique_ptr<store::SegmentRemoval> removal_;

  Cut cut_{};
  Stage stage_ = Stage::kDone;
  bool of_index_ = false;
  std::unique_ptr<store::EntryWalk> walk_{};
  const store::EntryView* entry_ = nullptr;  ///< of walk_, read up to record_
  std::size_t record_ = 0;
  store::IndexBatch forgotten_{};
  std::optional<store::BaseReader> reader_{};
  std::uint64_t removed_before_ = 0;  ///< bytes of earlier cuts
};

}  // namespace tally::broker
