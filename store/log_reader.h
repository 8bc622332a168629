#pragma once
// What the log's writer, its readers and the removal of old segments share, and the reader.

#include <atomic>
#include <memory>
#include <mutex>

#include "store/log.h"
#include "store/segment.h"

namespace tally::store {

class SegmentReader final : public LogReader {
 public:
  SegmentReader(Segments segments, Lsn durable);

  Result<bool> read_block(Lsn lsn, std::uint32_t record_bytes, Wait wait,
                          std::string& out) const override;

  // Any thread. Who keeps what segments() gives keeps removed segments' files open.
  Lsn first() const { return segments()->front()->base(); }
  Lsn durable() const { return Lsn(durable_.load(std::memory_order_acquire)); }
  std::shared_ptr<const Segments> segments() const {
    return segments_.load(std::memory_order_acquire);
  }

  // The log thread only.
  void add(std::shared_ptr<const Segment> segment);
  void set_durable(Lsn lsn) { durable_.store(lsn.value, std::memory_order_release); }

  // The thread that removes segments only. Never the last one.
  std::shared_ptr<const Segment> remove_first();

 private:
  std::mutex changing_{};  ///< between those who replace the list
  /// Replaced, never changed: a reader keeps the one it loaded.
  std::atomic<std::shared_ptr<const Segments>> segments_;
  std::atomic<std::uint64_t> durable_;
};

}  // namespace tally::store
