#pragma once
// What is sent: topics, groups, and transactions whose content follows from their ids.

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/base/message_block.h"
#include "tests/simulation/random.h"

namespace tally::simulation {

class Workload {
 public:
  explicit Workload(Random random) : random_(random) {}

  struct Topic {
    std::string name{};
    std::uint32_t queues = 1;
  };
  static const std::vector<Topic>& topics();
  static const std::vector<std::string>& groups();
  /// Producers whose transactions the broker rolls back when their checks are used up.
  static constexpr const char* kRolledBackGroup = "careless";
  /// Producers that use an id twice.
  static constexpr const char* kNamesakesGroup = "namesakes";

  /// An id that nobody used.
  std::string fresh_id(std::string_view prefix);
  /// One of a few that several instances use, at once or one after the other.
  std::string shared_id(std::string_view prefix);

  struct Half {
    std::string topic{};
    std::string block{};
  };
  /// The same for the same id, whatever the producer's clock says: a repeat is the same transaction.
  static std::vector<Half> halves(const std::string& id, std::int64_t born_ms);
  /// A message of its own.
  Half message(std::string_view what, std::int64_t born_ms);

 private:
  Random random_;
  std::uint64_t ids_ = 0;
};

}  // namespace tally::simulation
