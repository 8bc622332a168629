#pragma once
// What the log's writer and its readers share, and the reader.

#include <atomic>
#include <memory>

#include "store/log.h"
#include "store/segment.h"

namespace tally::store {

class SegmentReader final : public LogReader {
 public:
  SegmentReader(Segments segments, Lsn durable);

  Result<bool> read_block(Lsn lsn, std::uint32_t record_bytes, Wait wait,
                          std::string& out) const override;

  // The log thread only.
  void add(std::shared_ptr<const Segment> segment);
  void set_durable(Lsn lsn) { durable_.store(lsn.value, std::memory_order_release); }

  Lsn durable() const { return Lsn(durable_.load(std::memory_order_acquire)); }

 private:
  /// Replaced, never changed: a reader keeps the one it loaded.
  std::atomic<std::shared_ptr<const Segments>> segments_;
  std::atomic<std::uint64_t> durable_;
};

}  // namespace tally::store
