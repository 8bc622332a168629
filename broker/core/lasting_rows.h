#pragma once
// What two indexes of one log must agree on, row by row. Some rows depend on more than the log: what
// retention gave up is erased a little at a time, and a base holds nothing of it. Pure functions, any thread.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tally/ids.hpp>
#include <utility>

namespace tally::broker {

/// What retention has given up, as rows say.
struct Retained {
  Lsn horizon{};  ///< decisions of ENDs before it
  std::map<std::pair<TopicUid, QueueId>, std::uint64_t>
      first{};  ///< earliest offset kept of each queue
};
/// Takes in what the row says of retention; most say nothing.
void note_retained(std::string_view key, std::string_view row, Retained& retained);

/// The row without what is erased or saved at leisure. Nothing: retention gave up all of it. A row that does not decode is
/// given back as it is.
std::optional<std::string> lasting(std::string_view key, std::string_view row,
                                   const Retained& retained);

}  // namespace tally::broker
