#include "tests/support/history_transactions.h"

#include <set>

namespace tally::test {

namespace {

bool is_final(TransactionState state) {
  return state == TransactionState::kCommitted || state == TransactionState::kRolledBack;
}

/// "committed by check at 17"
std::string text_of(const Winner& winner) {
  std::string text(name(winner.state));
  if (winner.decided_by != Decider::kNone) text += " by " + std::string(name(winner.decided_by));
  if (winner.decided_at_ms != 0) text += " at " + std::to_string(winner.decided_at_ms);
  return text;
}

template <typename T>
bool differ(const T& one, const T& other) {
  return one != T{} && other != T{} && one != other;
}

}  // namespace

TransactionIndex Transactions::index(const std::string& id) {
  const NameId name = names_.of(id);
  const auto [at, added] = by_id_.try_emplace(name, static_cast<TransactionIndex>(all_.size()));
  if (added) {
    all_.emplace_back();
    all_.back().id = name;
    all_.back().decision.state = TransactionState::kPending;
  }
  return at->second;
}

void Transactions::half_invoked(EventNumber event, TransactionIndex index, MessageIndex message) {
  TestTransaction& transaction = all_[index];
  if (transaction.invoked == 0) transaction.invoked = event;
  auto& halves = transaction.halves;
  if (std::find(halves.begin(), halves.end(), message) == halves.end()) halves.push_back(message);
}

void Transactions::half_acked(EventNumber event, TransactionIndex index) {
  if (all_[index].prepared == 0) all_[index].prepared = event;
}

EndAsked Transactions::end_invoked(EventNumber event, const EndInvoked& end) {
  const TransactionIndex at = index(end.transaction);
  TestTransaction& transaction = all_[at];
  if (transaction.first_asked == 0) transaction.first_asked = event;
  if (end.decision == Decision::kCommit) {
    ++transaction.commits;
    if (transaction.commit_asked == 0) transaction.commit_asked = event;
    if (end.by == Decider::kOperator) ++transaction.operator_commits;
  } else if (end.decision == Decision::kRollback) {
    ++transaction.rollbacks;
  }
  return {.event = event,
          .transaction = at,
          .decision = end.decision,
          .by = end.by,
          .messages = end.messages};
}

void Transactions::end_ok(EventNumber event, const EndAsked& asked, const EndOk& answer) {
  TestTransaction& transaction = all_[asked.transaction];
  const Winner& result = answer.result;
  if (!may_exist(transaction)) {
    findings_.add(Rule::kAccounting,
                  sentence("transaction ", text(asked.transaction), " is said to be ",
                           name(result.state), ", but nobody prepared it"),
                  {asked.event, event});
    return;
  }
  if (!is_final(result.state) && asked.decision == Decision::kUnknown) {
    return still_open(event, asked.event, asked.transaction, result.state);
  }
  const auto wanted = asked.decision == Decision::kCommit ? TransactionState::kCommitted
                                                          : TransactionState::kRolledBack;
  if (asked.decision != Decision::kUnknown && result.state != wanted) {
    findings_.add(Rule::kDecision,
                  sentence("transaction ", text(asked.transaction), " was to ",
                           name(asked.decision), ", and the answer OK says ", text_of(result)),
                  {asked.event, event});
    return;
  }
  if (answer.repeated || asked.by == Decider::kCheck) {
    return decide(event, asked.transaction, result);
  }
  const EventNumber before = transaction.ended != 0 ? transaction.ended : transaction.decided;
  const bool known = transaction.ended != 0 || (before != 0 && before < asked.event);
  if (known || differ(result.decided_by, asked.by)) {
    findings_.add(Rule::kDecision,
                  sentence("the end of transaction ", text(asked.transaction), " by ",
                           name(asked.by), " is said to have decided it, but it was ",
                           text_of(known ? transaction.decision : result)),
                  {before, asked.event, event});
    return;
  }
  transaction.ended = event;
  count_messages(event, asked);
  decide(event, asked.transaction, result);
}

void Transactions::count_messages(EventNumber event, const EndAsked& asked) {
  if (asked.messages == 0 || asked.decision != Decision::kCommit) return;
  std::set<std::uint32_t> possible, certain;
  for (const MessageIndex half : all_[asked.transaction].halves) {
    const TestMessage& message = messages_[half];
    if (message.may_exist()) possible.insert(message.number);
    if (message.acked != 0 && message.acked < asked.event) certain.insert(message.number);
  }
  if (asked.messages >= certain.size() && asked.messages <= possible.size()) return;
  const bool too_few = asked.messages > possible.size();
  findings_.add(
      Rule::kDecision,
      sentence("transaction ", text(asked.transaction), " was committed by an end that names ",
               asked.messages, " messages, but ", too_few ? "at most " : "at least ",
               too_few ? possible.size() : certain.size(), " are stored"),
      {asked.event, event});
}

void Transactions::end_failed(EventNumber event, const EndAsked& asked, const Failed& answer) {
  TestTransaction& transaction = all_[asked.transaction];
  if (asked.decision == Decision::kCommit) {
    --transaction.commits;
    if (asked.by == Decider::kOperator) --transaction.operator_commits;
  } else if (asked.decision == Decision::kRollback) {
    --transaction.rollbacks;
  }
  const auto loser = asked.decision == Decision::kCommit ? TransactionState::kCommitted
                                                         : TransactionState::kRolledBack;
  const bool gone =
      answer.code == ErrorCode::kNotFoundOrExpired || answer.code == ErrorCode::kExpired;
  if (answer.code == ErrorCode::kConflict && answer.winner.state == loser) {
    findings_.add(
        Rule::kDecision,
        sentence("transaction ", text(asked.transaction), " was to ", name(asked.decision),
                 " and got CONFLICT, but the winner is ", text_of(answer.winner)),
        {asked.event, event});
  } else if (answer.code == ErrorCode::kConflict && is_final(answer.winner.state)) {
    decide(event, asked.transaction, answer.winner);
  } else if (gone && transaction.prepared != 0 && transaction.prepared < asked.event &&
             !may_be_forgotten(transaction)) {
    findings_.add(Rule::kAccounting,
                  sentence("transaction ", text(asked.transaction),
                           " has an acknowledged half, but its end got ", name(answer.code)),
                  {transaction.prepared, asked.event, event});
  }
  judge_delivery(event, asked.transaction);
}

void Transactions::local(EventNumber event, const LocalOutcome& outcome) {
  if (outcome.truth == Truth::kNone) return;
  const TransactionIndex at = index(outcome.transaction);
  TestTransaction& transaction = all_[at];
  if (transaction.truth != Truth::kNone && transaction.truth != outcome.truth) {
    findings_.add(Rule::kMalformed,
                  sentence("the local outcome of transaction ", outcome.transaction, " changed"),
                  {transaction.truth_event, event});
    return;
  }
  if (transaction.truth == outcome.truth) return;
  transaction.truth = outcome.truth;
  transaction.truth_event = event;
  judge_delivery(event, at);
}

bool Transactions::may_exist(const TestTransaction& transaction) {
  return std::any_of(transaction.halves.begin(), transaction.halves.end(),
                     [&](MessageIndex half) { return messages_[half].may_exist(); });
}

bool Transactions::seen(EventNumber event, EventNumber asked, bool listing,
                        const TransactionSeen& seen) {
  const TransactionIndex at = index(seen.transaction);
  TestTransaction& transaction = all_[at];
  if (!may_exist(transaction)) {
    findings_.add(Rule::kAccounting,
                  sentence("transaction ", seen.transaction, " is shown as ", name(seen.state),
                           ", but nobody prepared it"),
                  {event});
    return false;
  }
  if (listing) transaction.listed = event;
  transaction.seen = seen.state;
  transaction.seen_event = event;
  if (!is_final(seen.state)) {
    still_open(event, asked, at, seen.state);
    return true;
  }
  transaction.automatic = transaction.automatic || seen.automatic;
  decide(event, at,
         {.state = seen.state, .decided_by = seen.decided_by, .decided_at_ms = seen.decided_at_ms});
  return true;
}

void Transactions::still_open(EventNumber event, EventNumber asked, TransactionIndex index,
                              TransactionState state) {
  const TestTransaction& transaction = all_[index];
  if (!transaction.is_decided() || transaction.decided >= asked) return;
  findings_.add(Rule::kDecision,
                sentence("transaction ", text(index), " was ", text_of(transaction.decision),
                         ", and later is ", name(state)),
                {transaction.decided, event});
}

void Transactions::decide(EventNumber event, TransactionIndex index, const Winner& winner) {
  TestTransaction& transaction = all_[index];
  Winner& known = transaction.decision;
  if (!transaction.is_decided()) {
    known = winner;
    transaction.decided = event;
    judge_delivery(event, index);
    return;
  }
  if (known.state != winner.state || differ(known.decided_by, winner.decided_by) ||
      differ(known.decided_at_ms, winner.decided_at_ms)) {
    findings_.add(Rule::kDecision,
                  sentence("transaction ", text(index), " was ", text_of(known),
                           ", and another observer says ", text_of(winner)),
                  {transaction.decided, event});
    return;
  }
  if (known.decided_by == Decider::kNone) known.decided_by = winner.decided_by;
  if (known.decided_at_ms == 0) known.decided_at_ms = winner.decided_at_ms;
  judge_delivery(event, index);
}

void Transactions::delivered(EventNumber event, TransactionIndex index, MessageIndex message) {
  TestTransaction& transaction = all_[index];
  if (transaction.delivered == 0) {
    transaction.delivered = event;
    transaction.delivered_message = message;
  }
  judge_delivery(event, index);
}

void Transactions::judge_delivery(EventNumber event, TransactionIndex index) {
  TestTransaction& transaction = all_[index];
  if (transaction.delivered == 0 || transaction.reported) return;
  const auto report = [&](Rule rule, EventNumber why, const auto&... how) {
    transaction.reported = true;
    findings_.add(rule,
                  sentence(messages_.text(transaction.delivered_message),
                           " was delivered, but its transaction ", text(index), how...),
                  {why, transaction.delivered, event});
  };
  const Decider by = transaction.decision.decided_by;
  const bool maybe_operator = transaction.is_decided()
                                  ? by == Decider::kOperator || by == Decider::kNone
                                  : transaction.operator_commits > 0;
  if (transaction.rolled_back()) {
    report(Rule::kAborted, transaction.decided, " was ", text_of(transaction.decision));
  } else if (transaction.truth == Truth::kRolledBack && !maybe_operator) {
    report(Rule::kAborted, transaction.truth_event, " was rolled back in the producer's database");
  } else if (transaction.commits == 0 && !(transaction.committed() && maybe_operator)) {
    report(Rule::kEarly, 0, " had not been asked to commit");
  }
}

void Transactions::forgotten(const Forgotten& horizon) {
  decided_before_ms_ = std::max(decided_before_ms_, horizon.decided_before_ms);
}

bool Transactions::may_be_forgotten(const TestTransaction& transaction) const {
  if (decided_before_ms_ == 0 || !transaction.may_be_decided()) return false;
  return transaction.decision.decided_at_ms < decided_before_ms_;
}

void Transactions::listed(EventNumber event, EventNumber asked) {
  for (TransactionIndex at = 0; at < all_.size(); ++at) {
    const TestTransaction& transaction = all_[at];
    if (transaction.prepared == 0 || transaction.prepared > asked || transaction.listed > asked ||
        may_be_forgotten(transaction)) {
      continue;
    }
    findings_.add(Rule::kAccounting,
                  sentence("transaction ", text(at),
                           " has an acknowledged half, but a listing of all lacks it"),
                  {transaction.prepared, asked, event});
  }
}

Publication Transactions::publication(const TestMessage& message) const {
  if (message.transaction == kNobody) return {.after = message.invoked, .before = message.acked};
  const TestTransaction& transaction = all_[message.transaction];
  return {.after = transaction.commit_asked,
          .before = transaction.committed() ? transaction.decided : 0};
}

}  // namespace tally::test
