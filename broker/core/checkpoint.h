#pragma once
// What the next checkpoint will hold. Rows that never change again (full blocks, decided transactions) are put here when they
// come into being, so that taking a checkpoint costs only what is still open. Owned by the core; one thread.

#include <memory>
#include <string>

#include "store/index_store.h"

namespace tally::broker {

class Checkpoint {
 public:
  explicit Checkpoint(LogId log) { position_.log = log; }

  /// State and index agree at this position.
  void start(const store::ReplayFrom& position) { position_ = saved_ = position; }
  /// The log begins here: there is no checkpoint to measure the lag from.
  void start_without(Lsn first) { saved_.next = position_.next = first; }

  void put(std::string key, std::string value) {
    batch_->operations.push_back({.key = std::move(key), .value = std::move(value)});
  }
  void erase(std::string key) {
    batch_->operations.push_back({.key = std::move(key), .value = {}});
  }

  void applied(const store::EntryHeader& header) {
    position_.applied = header.index;
    position_.next = header.end();
    position_.entry_checksum = header.checksum;
    position_.time_ms = header.time_ms;
  }

  /// No checkpoint was ever taken of this log.
  bool first() const { return saved_.applied.value == 0; }
  bool writing() const { return writing_; }
  bool behind() const { return position_.applied != saved_.applied; }
  std::uint64_t lag_bytes() const { return position_.next.value - saved_.next.value; }
  const store::ReplayFrom& position() const { return position_; }

  std::unique_ptr<store::IndexBatch> take() {
    writing_ = true;
    taken_ = position_;
    batch_->position = position_;
    const std::size_t size = batch_->operations.size();
    auto taken = std::move(batch_);
    batch_ = std::make_unique<store::IndexBatch>();
    batch_->operations.reserve(size);
    return taken;
  }
  void done() {
    writing_ = false;
    saved_ = taken_;
  }

 private:
  std::unique_ptr<store::IndexBatch> batch_ = std::make_unique<store::IndexBatch>();
  store::ReplayFrom position_{};  ///< newest applied
  store::ReplayFrom taken_{};
  store::ReplayFrom saved_{};
  bool writing_ = false;
};

}  // namespace tally::broker
