#pragma once
// Settings that apply reads, as the log has them, and what else belongs to the shard as a whole: its horizon, how far the
// retention clock is behind. One row of the index.
//
// Owned by the core; one thread.

#include "broker/core/context.h"

namespace tally::broker {

class Configuration {
 public:
  explicit Configuration(Context& context) : context_(context) {}

  Result<void> restore(const store::IndexView& index);
  bool apply(const Applying& applying);
  /// To be called for each entry.
  void applied(const store::EntryHeader& entry);
  void raise_horizon(Lsn horizon, std::int64_t time_ms);
  /// Proposes the options when they differ from what is logged, once there is room for that.
  void propose();
  bool apply_clock(const Applying& applying);
  /// Of the retention clock, as it is logged.
  std::int64_t clock_behind_ms() const { return clock_behind_ms_; }
  void collect();

 private:
  Context& context_;
  bool dirty_ = false;
  bool logged_ = false;
  bool proposed_ = false;  ///< by this run
  std::int64_t clock_behind_ms_ = 0;
};

}  // namespace tally::broker
