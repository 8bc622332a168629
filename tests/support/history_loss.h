#pragma once
// What the end of a history shows: wrong decisions, lost messages, gaps. R4, and of R8 the gaps.

#include <unordered_map>
#include <unordered_set>

#include "tests/support/history_groups.h"

namespace tally::test {

struct Ending {
  EventNumber resumed = 0;  ///< since then no transaction may stay open; 0: they may
  EventNumber drained = 0;  ///< 0: groups may not have everything yet
};

class Loss {
 public:
  Loss(Findings& findings, Messages& messages, Transactions& transactions, Groups& groups,
       const Ending& ending)
      : findings_(findings),
        messages_(messages),
        transactions_(transactions),
        groups_(groups),
        ending_(ending) {}

  void find();

 private:
  void wrong_decisions();
  void open_transactions();
  void not_granted();
  void not_granted(QueueIndex queue, std::uint64_t offset, const TestSubscription& subscription);
  void without_place();
  void gaps();
  bool has_groups(NameId topic) const;
  bool demanded(const TestMessage& message) const;
  /// Queues' offsets that retention cut and that nobody saw.
  std::uint64_t unseen_below_floor(NameId topic, EventNumber after);

  Findings& findings_;
  Messages& messages_;
  Transactions& transactions_;
  Groups& groups_;
  Ending ending_;
  std::unordered_set<TransactionIndex> open_{};          ///< reported
  std::unordered_map<NameId, std::uint64_t> lost_{};     ///< without a place, by topic
  std::unordered_map<NameId, std::uint64_t> excused_{};  ///< may have been cut unseen, by topic
};

}  // namespace tally::test
