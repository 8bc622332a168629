#pragma once
// What dies when: fixed by the seed.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace tally::demo {

/// Where in a transfer service A is killed.
enum class Step : std::uint8_t { kBeforeInsert, kBeforeCommit, kAfterCommit, kAfterEnd };
inline constexpr Step kSteps[] = {Step::kBeforeInsert, Step::kBeforeCommit, Step::kAfterCommit,
                                  Step::kAfterEnd};
std::string_view name(Step step);
std::optional<Step> step_from_name(std::string_view name);

using TransferId = std::uint32_t;  ///< 1 … transfers

/// Every 25th transfer is refused by service A's own rules: its local transaction says ROLLBACK.
inline bool is_refused(TransferId id) { return id % 25 == 0; }
inline std::int64_t amount_of(TransferId id) { return 1 + id * 7919ll % 100; }

struct Plan {
  std::map<TransferId, Step> deaths_of_a{};
  std::set<TransferId> deaths_of_b{};
  std::vector<TransferId> broker_kills{};  ///< when service A begins that transfer
  std::set<TransferId> stops_of_a{};       ///< naive mode: SIGSTOP between insert and commit
};

/// A plan over transfers 1 … `transfers` (at least 200).
Plan make_plan(std::uint64_t seed, TransferId transfers);

}  // namespace tally::demo
