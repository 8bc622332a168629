#pragma once
// Transactions of a history: who asked for what, what was decided, what the producers' databases say: R2, R3, R5, and of
// R13 that none vanishes.

#include <string>
#include <unordered_map>
#include <vector>

#include "tests/support/history_messages.h"

namespace tally::test {

struct TestTransaction {
  NameId id = 0;
  std::vector<MessageIndex> halves{};
  EventNumber invoked = 0;   ///< first PREPARE
  EventNumber prepared = 0;  ///< first half acknowledged

  Truth truth{};
  EventNumber truth_event = 0;

  /// ENDs and answers to checks that were invoked, less those refused.
  std::uint32_t commits = 0, rollbacks = 0, operator_commits = 0;

  Winner decision{};  ///< kPending while none is known
  bool automatic = false;
  EventNumber decided = 0;
  EventNumber ended = 0;  ///< the answer that claims to have decided

  TransactionState seen = TransactionState::kPending;  ///< by show, list, log: the latest
  EventNumber seen_event = 0;
  EventNumber listed = 0;        ///< the latest time it was part of a listing
  EventNumber first_asked = 0;   ///< the first END or answer to a check
  EventNumber commit_asked = 0;  ///< the first that says commit

  MessageIndex delivered_message = 0;
  EventNumber delivered = 0;
  bool reported = false;  ///< as delivered against the rules

  bool is_decided() const { return decided != 0; }
  bool rolled_back() const { return decision.state == TransactionState::kRolledBack; }
  bool committed() const { return decision.state == TransactionState::kCommitted; }
  /// Somebody may have decided it, though nobody was told.
  bool may_be_decided() const { return is_decided() || commits > 0 || rollbacks > 0; }
};

/// An END or an answer to a check, as it was asked.
struct EndAsked {
  EventNumber event = 0;
  TransactionIndex transaction = 0;
  Decision decision{};
  Decider by{};
  std::uint32_t messages = 0;
};

/// Between which events a message was published; 0: not known.
struct Publication {
  EventNumber after = 0;
  EventNumber before = 0;
};

class Transactions {
 public:
  Transactions(Findings& findings, Names& names, Messages& messages)
      : findings_(findings), names_(names), messages_(messages) {
    all_.reserve(1024);
  }

  TransactionIndex index(const std::string& id);
  TestTransaction& operator[](TransactionIndex index) { return all_[index]; }
  const TestTransaction& operator[](TransactionIndex index) const { return all_[index]; }
  std::vector<TestTransaction>& all() { return all_; }
  const std::string& text(TransactionIndex index) const { return names_.text(all_[index].id); }

  void half_invoked(EventNumber event, TransactionIndex transaction, MessageIndex message);
  void half_acked(EventNumber event, TransactionIndex transaction);

  EndAsked end_invoked(EventNumber event, const EndInvoked& end);
  void end_ok(EventNumber event, const EndAsked& asked, const EndOk& answer);
  void end_failed(EventNumber event, const EndAsked& asked, const Failed& answer);

  void local(EventNumber event, const LocalOutcome& outcome);
  /// `asked`: when the request was invoked that shows this; now when there was none. `listing`: it asks for all of them.
  /// False when there can be no such transaction.
  bool seen(EventNumber event, EventNumber asked, bool listing, const TransactionSeen& seen);
  /// One of its messages came out.
  void delivered(EventNumber event, TransactionIndex transaction, MessageIndex message);
  void forgotten(const Forgotten& horizon);
  /// A listing of all transactions, asked for at `asked`, is complete.
  void listed(EventNumber event, EventNumber asked);

  /// Whether a half of it may be stored.
  bool may_exist(const TestTransaction& transaction);
  Publication publication(const TestMessage& message) const;

  /// It was decided before decisions that need not be known any more.
  bool may_be_forgotten(const TestTransaction& transaction) const;

 private:
  void decide(EventNumber event, TransactionIndex transaction, const Winner& winner);
  void still_open(EventNumber event, EventNumber asked, TransactionIndex transaction,
                  TransactionState state);
  void count_messages(EventNumber event, const EndAsked& asked);

  void judge_delivery(EventNumber event, TransactionIndex transaction);

  Findings& findings_;
  Names& names_;
  Messages& messages_;
  std::vector<TestTransaction> all_{};
  std::unordered_map<NameId, TransactionIndex> by_id_{};
  std::int64_t decided_before_ms_ = 0;
};

}  // namespace tally::test
