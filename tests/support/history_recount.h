#pragma once
// What the broker's counters must say, between the least and the most that can have happened: R13.

#include "tests/support/history_checks.h"

namespace tally::test {

class Recount {
 public:
  Recount(Findings& findings, Messages& messages, Transactions& transactions, Checks& checks)
      : findings_(findings), messages_(messages), transactions_(transactions), checks_(checks) {}

  void restarted(EventNumber event) { restarted_ = event; }
  /// `asked`: when the request was invoked that shows this; now when there was none. Linear in messages or transactions.
  void seen(EventNumber event, EventNumber asked, const CounterSeen& counter);

 private:
  struct Range {
    std::uint64_t least = 0;
    std::uint64_t most = 0;
  };
  Range stored(EventNumber asked, bool halves);
  Range decided(EventNumber asked, TransactionState state);
  void gauge(EventNumber event, EventNumber asked, const CounterSeen& counter);
  void compare(EventNumber event, std::string_view what, std::uint64_t value, const Range& range);

  Findings& findings_;
  Messages& messages_;
  Transactions& transactions_;
  Checks& checks_;
  EventNumber restarted_ = 0;
  EventNumber pending_event_ = 0;  ///< the latest "pending"
  CounterSeen pending_{};
};

}  // namespace tally::test
