#pragma once
// Judges a history by the promises of docs/guarantees.md.
//
// Operation: add() takes the events in the order in which they were seen and returns what each one proves at once; finish()
// the rest. One pass, hash maps: time and memory linear in the events. Concurrency: one thread. No clock: times are given.
// A call without a definite answer may have happened or not, and at any time after it was invoked.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/history.h"

namespace tally::test {

enum class Rule : std::uint8_t {
  kMalformed = 0,   ///< the history itself makes no sense: an answer without a call, a call twice
  kPhantom = 1,     ///< delivered, but nobody sent it so
  kAborted = 2,     ///< delivered, but rolled back
  kEarly = 3,       ///< delivered before its commit was asked for
  kLost = 4,        ///< not delivered, neither parked nor given up
  kDecision = 5,    ///< two observers disagree on a decision
  kSettled = 6,     ///< granted though settled, or settled by an attempt that was over
  kOrder = 7,       ///< against the order of a message group
  kPosition = 8,    ///< one offset with two messages, or with none
  kDuplicate = 9,   ///< one message stored twice, or two under one sequence
  kCheck = 10,      ///< check-back too early, twice at once, or miscounted
  kRestart = 11,    ///< recovered state is not what it was
  kService = 12,    ///< a call without end, or no service after healing
  kAccounting = 13  ///< states or counters do not add up
};
inline constexpr std::size_t kRules = 14;
/// "R4 lost"
std::string_view name(Rule rule);

struct Violation {
  Rule rule{};
  std::string text{};  ///< one sentence
  std::vector<std::uint64_t>
      events{};  ///< numbers of the events it follows from, from 1, ascending
};
/// `R4 lost: message … (events 1, 5)`
std::string to_string(const Violation& violation);

/// What the broker under test was configured with. 0: the rule that needs it is not applied.
struct CheckerLimits {
  std::uint32_t attempts_max = 0;  ///< of a delivery; after it the broker may dead-letter by itself
  std::uint32_t check_budget = 0;  ///< counted checks before a transaction is parked
  std::int64_t check_answer_ms = 0;       ///< broker time after which an unanswered check is over
  std::int64_t check_backoff_max_ms = 0;  ///< cap of the delay between checks
  std::int64_t call_ms = 0;               ///< longest time from a call to its end
  std::int64_t heal_ms = 10'000;          ///< from Healed to the next answered call
};

class HistoryChecker {
 public:
  explicit HistoryChecker(const CheckerLimits& limits = {});
  ~HistoryChecker();

  std::vector<Violation> add(const Event& event);
  /// The history is complete. Once, last.
  std::vector<Violation> finish();

  struct Summary {
    std::uint64_t events = 0;    ///< the newest event has this number
    std::uint64_t messages = 0;  ///< invoked
    std::uint64_t transactions = 0;
    std::uint64_t deliveries = 0;
    std::uint64_t unanswered = 0;  ///< calls
    bool drained = false;          ///< else loss was not looked for
  };
  const Summary& summary() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tally::test
