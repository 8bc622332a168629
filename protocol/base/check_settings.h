#pragma once
// How the broker asks back about transactions. A plain value, used by requests, records and the core.

#include <cstdint>

namespace tally {

/// What becomes of a transaction whose last check brought no decision.
enum class OnBudget : std::uint8_t { kInherit = 0, kPark = 1, kRollback = 2 };

/// 0 means: as the next one says, in the order PREPARE, producer group, topic of the first message,
/// broker.
struct CheckSettings {
  std::int64_t first_check_ms = 0;  ///< after PREPARE
  std::int64_t lifetime_ms = 0;
  std::int64_t backoff_max_ms = 0;
  std::uint32_t budget = 0;  ///< delivered checks until on_budget
  OnBudget on_budget{};
  bool operator==(const CheckSettings&) const = default;

  /// What is left open here, as `other` says.
  CheckSettings or_else(const CheckSettings& other) const {
    return {.first_check_ms = first_check_ms != 0 ? first_check_ms : other.first_check_ms,
            .lifetime_ms = lifetime_ms != 0 ? lifetime_ms : other.lifetime_ms,
            .backoff_max_ms = backoff_max_ms != 0 ? backoff_max_ms : other.backoff_max_ms,
            .budget = budget != 0 ? budget : other.budget,
            .on_budget = on_budget != OnBudget::kInherit ? on_budget : other.on_budget};
  }
};

}  // namespace tally
