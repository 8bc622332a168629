#include "tests/support/history_checks.h"

namespace tally::test {

void Checks::prepared(EventNumber event, TransactionIndex transaction, const PrepareOk& answer) {
  OfTransaction& of = all_[transaction];
  if (of.first_check_at_ms != 0 || answer.first_check_at_ms == 0) return;
  of.prepared = event;
  of.first_check_at_ms = answer.first_check_at_ms;
  if (answer.prepared_at_ms != 0) of.first_check_ms = of.first_check_at_ms - answer.prepared_at_ms;
  judge_first(event, transaction);
}

void Checks::asked(EventNumber event, const std::string& process, const CheckAsked& check) {
  const TransactionIndex at = transactions_.index(check.transaction);
  if (!transactions_.may_exist(transactions_[at])) {
    findings_.add(
        Rule::kCheck,
        sentence("a check asks for transaction ", check.transaction, ", which nobody prepared"),
        {event});
    return;
  }
  const Challenge challenge{.transaction = at, .asked_ms = check.broker_time_ms};
  if (!challenges_.try_emplace(check.challenge, challenge).second) {
    findings_.add(Rule::kCheck, sentence("challenge ", check.challenge, " was used for two checks"),
                  {event});
    return;
  }
  OfTransaction& of = all_[at];
  if (of.first_asked == 0) {
    of.first_asked = event;
    of.first_asked_ms = check.broker_time_ms;
    judge_first(event, at);
  }
  judge_outstanding(event, at, check);
  judge_count(event, at, check);
  of.newest = check.challenge;
  of.process = names_.of(process);
  of.asked_ms = check.broker_time_ms;
  of.asked = event;
  of.over = false;
}

void Checks::judge_first(EventNumber event, TransactionIndex transaction) {
  const OfTransaction& of = all_[transaction];
  if (of.managed || of.first_asked_ms == 0 || of.first_check_at_ms == 0) return;
  if (of.first_asked_ms >= of.first_check_at_ms) return;
  findings_.add(
      Rule::kCheck,
      sentence("transaction ", transactions_.text(transaction), " was checked at broker time ",
               of.first_asked_ms, ", before its first check was due at ", of.first_check_at_ms),
      {of.prepared, of.first_asked, event});
}

void Checks::judge_outstanding(EventNumber event, TransactionIndex transaction,
                               const CheckAsked& check) {
  const OfTransaction& of = all_[transaction];
  if (of.over || restarted_ > of.asked || limits_.check_answer_ms == 0) return;
  const auto gone = disconnected_.find(of.process);
  if (gone != disconnected_.end() && gone->second > of.asked) return;
  if (check.broker_time_ms == 0 || of.asked_ms == 0 ||
      check.broker_time_ms >= of.asked_ms + limits_.check_answer_ms) {
    return;
  }
  findings_.add(
      Rule::kCheck,
      sentence("transaction ", transactions_.text(transaction), " was checked at broker time ",
               check.broker_time_ms, " while the check of ", of.asked_ms, " was outstanding"),
      {of.asked, event});
}

void Checks::judge_count(EventNumber event, TransactionIndex transaction, const CheckAsked& check) {
  const OfTransaction& of = all_[transaction];
  if (check.attempt > of.received + 1) {
    findings_.add(
        Rule::kCheck,
        sentence("check ", check.attempt, " of transaction ", transactions_.text(transaction),
                 " follows only ", of.received, " that were received"),
        {of.received_event, event});
    return;
  }
  const bool counted = of.received > 0 && check.attempt == of.received + 1;
  if (!counted || of.managed || of.received_ms == 0 || check.broker_time_ms == 0) return;
  const std::int64_t due_ms = of.received_ms + least_delay_ms(of);
  if (check.broker_time_ms >= due_ms) return;
  findings_.add(
      Rule::kCheck,
      sentence("check ", check.attempt, " of transaction ", transactions_.text(transaction),
               " came at broker time ", check.broker_time_ms, ", less than its back-off (until ",
               due_ms, ") after the one of ", of.received_ms),
      {of.received_event, event});
}

std::int64_t Checks::least_delay_ms(const OfTransaction& of) const {
  if (limits_.check_backoff_max_ms == 0 || of.first_check_ms <= 0) return 0;
  const std::int64_t cap_ms = std::max(limits_.check_backoff_max_ms, of.first_check_ms);
  std::int64_t delay_ms = of.first_check_ms;
  for (std::uint32_t i = 0; i < of.received && delay_ms < cap_ms; ++i) delay_ms *= 2;
  return std::min(delay_ms, cap_ms) / 5 * 4;  // the broker spreads by 20 % either way
}

void Checks::received(EventNumber event, std::uint64_t challenge) {
  const auto found = challenges_.find(challenge);
  if (found == challenges_.end()) {
    findings_.add(Rule::kMalformed,
                  sentence("a receipt for challenge ", challenge, ", which was never asked"),
                  {event});
    return;
  }
  count(event, challenge, found->second);
}

void Checks::count(EventNumber event, std::uint64_t challenge, Challenge& of) {
  if (of.received) return;
  of.received = true;
  OfTransaction& transaction = all_[of.transaction];
  ++transaction.received;
  transaction.received_event = event;
  if (transaction.newest == challenge) transaction.received_ms = of.asked_ms;
}

bool Checks::answered(EventNumber event, TransactionIndex transaction, std::uint64_t challenge) {
  if (challenge == 0) return false;
  const auto found = challenges_.find(challenge);
  if (found == challenges_.end() || found->second.transaction != transaction) {
    findings_.add(Rule::kMalformed,
                  sentence("an answer for challenge ", challenge, ", which transaction ",
                           transactions_.text(transaction), " was not asked"),
                  {event});
    return false;
  }
  count(event, challenge, found->second);  // an answer is a receipt, too
  OfTransaction& of = all_[transaction];
  if (of.newest == challenge) of.over = true;
  return of.newest != challenge;
}

void Checks::old_answer_accepted(EventNumber event, EventNumber asked,
                                 TransactionIndex transaction) {
  findings_.add(
      Rule::kCheck,
      sentence("an answer to an old check of transaction ", transactions_.text(transaction),
               " was accepted, though a newer one had been asked"),
      {all_[transaction].asked, asked, event});
}

void Checks::seen(EventNumber event, const TransactionSeen& seen) {
  const OfTransaction& of = all_[transactions_.index(seen.transaction)];
  if (seen.checks > of.received) {
    findings_.add(Rule::kCheck,
                  sentence("transaction ", seen.transaction, " is said to have been checked ",
                           seen.checks, " times, but ", of.received, " checks were received"),
                  {of.received_event, event});
  } else if (seen.state == TransactionState::kParked && !of.managed &&
             of.received < limits_.check_budget) {
    findings_.add(Rule::kCheck,
                  sentence("transaction ", seen.transaction, " is parked after ", of.received,
                           " received checks of ", limits_.check_budget),
                  {of.received_event, event});
  }
}

bool Checks::may_be_parked(TransactionIndex transaction) const {
  const auto found = all_.find(transaction);
  if (found == all_.end()) return limits_.check_budget == 0;
  return found->second.managed || found->second.received >= limits_.check_budget;
}

void Checks::disconnected(EventNumber event, const std::string& process) {
  disconnected_[names_.of(process)] = event;
}

}  // namespace tally::test
