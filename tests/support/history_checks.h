#pragma once
// Check-backs of a history: when they were asked, and what was counted: R10.

#include <string>
#include <unordered_map>

#include "tests/support/history_transactions.h"

namespace tally::test {

class Checks {
 public:
  Checks(Findings& findings, Names& names, Transactions& transactions, const CheckerLimits& limits)
      : findings_(findings), names_(names), transactions_(transactions), limits_(limits) {}

  void prepared(EventNumber event, TransactionIndex transaction, const PrepareOk& answer);
  void managed(const std::string& transaction) {
    all_[transactions_.index(transaction)].managed = true;
  }
  void asked(EventNumber event, const std::string& process, const CheckAsked& check);
  void received(EventNumber event, std::uint64_t challenge);
  /// The answer to a check was invoked. True when a newer check was asked before: then it must not be accepted.
  bool answered(EventNumber event, TransactionIndex transaction, std::uint64_t challenge);
  void old_answer_accepted(EventNumber event, EventNumber asked, TransactionIndex transaction);
  void seen(EventNumber event, const TransactionSeen& seen);
  /// It may have had its last check.
  bool may_be_parked(TransactionIndex transaction) const;
  void disconnected(EventNumber event, const std::string& process);
  void restarted(EventNumber event) { restarted_ = event; }

 private:
  struct OfTransaction {
    EventNumber prepared = 0;
    std::int64_t first_check_at_ms = 0;
    std::int64_t first_check_ms = 0;  ///< after PREPARE
    EventNumber first_asked = 0;
    std::int64_t first_asked_ms = 0;

    std::uint64_t newest = 0;  ///< challenge
    NameId process = 0;        ///< asked last
    std::int64_t asked_ms = 0;
    EventNumber asked = 0;
    bool over = true;
    bool managed = false;

    std::uint32_t received = 0;
    EventNumber received_event = 0;
    std::int64_t received_ms = 0;  ///< when the newest received one was asked
  };
  struct Challenge {
    TransactionIndex transaction = 0;
    std::int64_t asked_ms = 0;
    bool received = false;
  };
  void judge_first(EventNumber event, TransactionIndex transaction);
  void judge_outstanding(EventNumber event, TransactionIndex transaction, const CheckAsked& check);
  void judge_count(EventNumber event, TransactionIndex transaction, const CheckAsked& check);
  void count(EventNumber event, std::uint64_t challenge, Challenge& of);
  std::int64_t least_delay_ms(const OfTransaction& of) const;

  Findings& findings_;
  Names& names_;
  Transactions& transactions_;
  CheckerLimits limits_;
  std::unordered_map<TransactionIndex, OfTransaction> all_{};
  std::unordered_map<std::uint64_t, Challenge> challenges_{};
  std::unordered_map<NameId, EventNumber> disconnected_{};  ///< latest, by process
  EventNumber restarted_ = 0;
};

}  // namespace tally::test
