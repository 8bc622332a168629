#pragma once
// What the log of the simulated broker says, entry by entry: that it never changes, which messages the broker gave up by
// itself, what retention cut, and which transactions were parked.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "store/entry.h"
#include "store/record_extensions.h"
#include "tests/simulation/observer.h"

namespace tally::simulation {

class LogWatch {
 public:
  LogWatch(Observer& observer, const broker::CoreOptions& options)
      : observer_(observer), options_(options) {}

  /// An entry that is durable: just written, or read at a start. Entries come in order; those known already must be the same.
  void seen(const store::EntryView& entry);
  /// The process ended: entries behind the newest acknowledged one may be gone, or be replaced.
  void forget_behind(std::uint64_t acknowledged) { checksums_.resize(acknowledged); }

  /// Whether retention gave the message up.
  bool given_up(const DeliveryHeader& delivery) const;

 private:
  using Queue = std::pair<std::uint32_t, std::uint32_t>;  ///< topic, number
  using Place = std::tuple<std::uint32_t, Queue, std::uint64_t>;
  struct Standing {
    std::uint32_t attempt = 1;
    bool settled = false;
  };
  void seen(const store::EntryHeader& entry, const store::RecordView& record);
  void settled(std::uint64_t index, const store::RecordView& record);
  void retained(const store::EntryHeader& entry, const store::RecordView& record);

  Observer& observer_;
  const broker::CoreOptions& options_;
  std::vector<std::uint64_t> checksums_{};
  std::map<std::uint64_t, std::int64_t> times_{};  ///< of entries, by LSN
  std::map<std::uint32_t, std::string> topics_{};
  std::map<std::uint32_t, std::string> groups_{};
  std::map<Place, Standing> standings_{};              ///< of groups
  std::map<std::uint64_t, std::uint32_t> topic_of_{};  ///< of messages, by LSN
  std::map<Queue, std::uint64_t> floors_{};
  std::set<std::string, std::less<>> parked_{};
};

}  // namespace tally::simulation
