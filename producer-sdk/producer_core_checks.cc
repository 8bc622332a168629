#include <algorithm>

#include "producer-sdk/producer_core.h"
#include "protocol/base/limits.h"
#include "protocol/base/seeded_bug.h"

namespace tally {
namespace {

constexpr std::int64_t kRegisterAgainMs = 1'000;

}  // namespace

void ProducerCore::attach(StoreId store) {
  if (attached(store)) return;
  stores_.push_back(store);
  cleaning_.attach(store);
  if (connected_) ask_register();
}

bool ProducerCore::attached(StoreId store) const {
  return std::find(stores_.begin(), stores_.end(), store) != stores_.end();
}

void ProducerCore::connected(std::int64_t now_ms, const HelloResponse& hello) {
  connected_ = true;
  broker_ahead_ms_ = hello.broker_time_ms - now_ms;
  cleaning_.connected(now_ms, hello);
  if (!stores_.empty()) ask_register();
}

void ProducerCore::ask_register() {
  act(action::AskRegister{RegisterCheckerRequest{.group = options_.group, .stores = stores_}});
}

void ProducerCore::register_answered(std::int64_t now_ms,
                                     const Result<RegisterCheckerResponse>& answer) {
  if (answer) return;
  const Error& error = answer.error();
  // Without a connection there is nothing to repeat: connected() registers again.
  const bool cut_off = error.code == ErrorCode::kDisconnected ||
                       error.code == ErrorCode::kUnreachable || error.code == ErrorCode::kClosed;
  if (cut_off) return;
  if (retryable(error.code)) {
    register_due_ms_ = now_ms + kRegisterAgainMs;
    return;
  }
  log(LogLevel::kError, "check-backs will not be asked here: " + to_string(error));
}

void ProducerCore::check_asked(const CheckRequest& check) {
  // What is known here needs no database.
  const auto [first, last] = by_id_.equal_range(check.transaction);
  for (auto entry = first; entry != last; ++entry) {
    const Transaction& transaction = *open_.at(entry->second);
    if (transaction.state != State::kEnding) {
      return answer_check(check, {Decision::kUnknown, "the transaction is under way here"});
    }
    if (transaction.handle != check.handle) continue;
    return answer_check(check, {transaction.decision, "decided here; the end is on its way"});
  }
  if (!attached(check.store)) {
    return answer_check(check, {Decision::kUnknown, "this database is not attached here"});
  }
  if (checks_.size() >= kChecksMax) {
    return answer_check(check, {Decision::kUnknown, "too many checks at once"});
  }
  const CheckTicket ticket(++last_ticket_);
  checks_.emplace(ticket, Check{.asked = check});
  act(action::CheckLocal{ticket, check.store, check.transaction, check.handle});
}

void ProducerCore::check_finished(std::int64_t now_ms, CheckTicket ticket,
                                  const CheckVerdict& verdict) {
  const auto found = checks_.find(ticket);
  if (found == checks_.end()) return;
  const Check check = std::move(found->second);
  checks_.erase(found);
  if (check.key == TransactionKey{}) {
    // A listener's state cannot be fenced: work that it does not see may still be under way until the lifetime is over.
    const bool may_still_run = check.asked.store.is_zero() && check.asked.expires_in_ms > 0 &&
                               !TALLY_SEEDED_BUG("rollback_for_a_row_not_visible_yet");
    if (verdict.decision == Decision::kRollback && may_still_run) {
      return answer_check(check.asked, {Decision::kUnknown, "not there, or not yet"});
    }
    return answer_check(check.asked, verdict);
  }
  if (Transaction* transaction = find(check.key, State::kResolving)) {
    resolved(now_ms, *transaction, verdict);
  }
}

void ProducerCore::answer_check(const CheckRequest& check, const CheckVerdict& verdict) {
  // The number of messages is left to the broker: local work commits only after all its halves were acknowledged.
  act(action::AskAnswerCheck{
      AnswerCheckRequest{.transaction = check.transaction,
                         .challenge = check.challenge,
                         .decision = verdict.decision,
                         .reason = verdict.reason.substr(0, limits::kReasonBytesMax)}});
}

void ProducerCore::resolve(Transaction& transaction) {
  transaction.state = State::kResolving;
  const CheckTicket ticket(++last_ticket_);
  checks_.emplace(ticket, Check{.key = transaction.key});
  act(action::CheckLocal{ticket, transaction.asked.store, transaction.asked.id,
                         transaction.handle});
}

void ProducerCore::resolved(std::int64_t now_ms, Transaction& transaction,
                            const CheckVerdict& verdict) {
  const bool may_still_run = transaction.asked.store.is_zero() && now_ms < transaction.deadline_ms;
  const bool unknown = verdict.decision == Decision::kUnknown ||
                       (verdict.decision == Decision::kRollback && may_still_run);
  if (unknown) return retry_later(now_ms, transaction);
  transaction.result.outcome = verdict.decision == Decision::kCommit
                                   ? TransactionOutcome::kCommitted
                                   : TransactionOutcome::kRolledBack;
  end(transaction, verdict.decision);
}

void ProducerCore::barrier_listed(std::int64_t now_ms, Result<std::vector<BarrierRow>>&& rows) {
  if (!rows) log(LogLevel::kInfo, "old barrier rows cannot be read: " + to_string(rows.error()));
  if (auto ask = cleaning_.listed(now_ms, std::move(rows))) act(*std::move(ask));
}

void ProducerCore::finality_answered(std::int64_t now_ms, const Result<FindFinalResponse>& answer) {
  if (auto forget = cleaning_.answered(now_ms, answer)) act(*std::move(forget));
}

void ProducerCore::barrier_forgotten(std::int64_t now_ms, const Result<void>& done) {
  if (!done) {
    log(LogLevel::kInfo, "old barrier rows cannot be removed: " + to_string(done.error()));
  }
  cleaning_.forgotten(now_ms, done);
}

bool ProducerCore::wait(std::string_view id, WaiterKey waiter) {
  const auto found = by_id_.find(std::string(id));
  if (found == by_id_.end()) return false;
  open_.at(found->second)->waiters.push_back(waiter);
  return true;
}

void ProducerCore::stop_waiting(WaiterKey waiter) {
  for (auto& [key, transaction] : open_) std::erase(transaction->waiters, waiter);
}

void ProducerCore::close() {
  const Error closed(ErrorCode::kClosed, "the producer was stopped");
  while (!open_.empty()) {
    Transaction& transaction = *open_.begin()->second;
    const bool not_run =
        transaction.state == State::kPreparing || transaction.state == State::kLooking;
    if (not_run) act(action::Refuse{transaction.key, closed});
    finish(transaction, closed);
  }
  checks_.clear();
  due_.clear();
  cleaning_.close();
}

}  // namespace tally
