#include "tests/support/history_recount.h"

namespace tally::test {

void Recount::seen(EventNumber event, EventNumber asked, const CounterSeen& counter) {
  if (counter.name == "sends" || counter.name == "halves") {
    compare(event, counter.name, counter.value, stored(asked, counter.name == "halves"));
  } else if (counter.name == "commits") {
    compare(event, counter.name, counter.value, decided(asked, TransactionState::kCommitted));
  } else if (counter.name == "rollbacks") {
    compare(event, counter.name, counter.value, decided(asked, TransactionState::kRolledBack));
  } else if (counter.name == "pending" || counter.name == "parked") {
    gauge(event, asked, counter);
  }
}

Recount::Range Recount::stored(EventNumber asked, bool halves) {
  Range range;
  for (const TestMessage& message : messages_.all()) {
    if ((message.transaction != kNobody) != halves || !message.may_exist()) continue;
    range.most += message.once() ? 1 : message.attempts - message.failed;
    if (message.acked == 0 || message.acked > asked || message.invoked < restarted_) continue;
    range.least += message.once() || message.acked_last > asked ? 1 : message.acks;
  }
  return range;
}

Recount::Range Recount::decided(EventNumber asked, TransactionState state) {
  Range range;
  for (const TestTransaction& transaction : transactions_.all()) {
    if (transaction.is_decided()) {
      if (transaction.decision.state != state) continue;
      ++range.most;
      if (transaction.decided < asked && transaction.first_asked > restarted_) ++range.least;
    } else if ((state == TransactionState::kCommitted ? transaction.commits
                                                      : transaction.rollbacks) > 0) {
      ++range.most;
    }
  }
  return range;
}

void Recount::gauge(EventNumber event, EventNumber asked, const CounterSeen& counter) {
  Range open, pending, parked;
  for (TransactionIndex at = 0; at < transactions_.all().size(); ++at) {
    const TestTransaction& transaction = transactions_[at];
    const bool decided = transaction.is_decided() && transaction.decided < asked;
    if (decided || !transactions_.may_exist(transaction)) continue;
    ++open.most;
    const bool may_park = checks_.may_be_parked(at);
    if (may_park) ++parked.most;
    const bool certain =
        transaction.prepared != 0 && transaction.prepared < asked && !transaction.may_be_decided();
    if (!certain) continue;
    ++open.least;
    if (!may_park) ++pending.least;
  }
  pending.most = open.most;
  compare(event, counter.name, counter.value, counter.name == "pending" ? pending : parked);
  if (counter.name == "pending") {
    pending_ = counter;
    pending_event_ = event;
  } else if (counter.call == pending_.call && (counter.call != 0 || event == pending_event_ + 1)) {
    compare(event, "pending and parked", pending_.value + counter.value, open);
  }
}

void Recount::compare(EventNumber event, std::string_view what, std::uint64_t value,
                      const Range& range) {
  if (value >= range.least && value <= range.most) return;
  findings_.add(
      Rule::kAccounting,
      sentence("the broker counts ", value, " ", what, ", but a recount gives ", range.least,
               range.least == range.most ? "" : " to " + std::to_string(range.most)),
      {event});
}

}  // namespace tally::test
