#pragma once
// How far one consumer group is with one queue: the durable part of delivery, changed by apply only.
//
// Floor: everything below is settled or in retry. Above it settled offsets stand as ranges. A nacked message moves into the
// retry set, by offset, and the floor passes it: one poison message costs one row, not a growing window.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "store/record_extensions.h"

namespace tally::broker {

class Progress {
 public:
  struct Retry {
    std::uint32_t attempt = 0;  ///< of the next delivery
    std::int64_t due_ms = 0;
    bool operator==(const Retry&) const = default;
  };

  /// Settles when the offset is unsettled and the attempt is the current one; false: the lease is lost, nothing changed.
  /// `next` is the queue's next offset; back-off is spread by `hash`.
  bool settle(const store::SettleEntry& item, std::uint64_t next, std::int64_t time_ms,
              const store::ConfigExtension& config, std::uint64_t hash);

  /// Nothing below `first` is kept any more: gives up what is unsettled there and counts it as lost.
  /// Whether anything changed.
  bool lose_below(std::uint64_t first);
  /// A group that begins now reads from here.
  void start_at(std::uint64_t first) { floor_ = first; }

  /// The first offset at or after `offset` that was never settled.
  std::uint64_t first_unsettled(std::uint64_t offset) const;

  std::uint64_t floor() const { return floor_; }
  std::uint64_t settled_above_floor() const { return settled_count_; }
  std::uint64_t dead_lettered() const { return dead_lettered_; }
  std::uint64_t lost() const { return lost_; }
  const std::map<std::uint64_t, Retry>& retries() const { return retries_; }
  /// The attempt that a delivery of this unsettled offset has.
  std::uint32_t attempt(std::uint64_t offset) const;

  std::string encode() const;
  static std::optional<Progress> decode(std::string_view value);
  bool operator==(const Progress&) const = default;

 private:
  void mark_settled(std::uint64_t offset);

  std::uint64_t floor_ = 0;
  std::uint64_t settled_count_ = 0;  ///< offsets in ranges_
  std::uint64_t dead_lettered_ = 0;
  std::uint64_t lost_ = 0;                           ///< neither settled nor kept any longer
  std::map<std::uint64_t, std::uint64_t> ranges_{};  ///< settled [first, second), above the floor
  std::map<std::uint64_t, Retry> retries_{};
};

}  // namespace tally::broker
