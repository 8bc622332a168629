#include "producer-sdk/producer_core.h"

#include <algorithm>

namespace tally {
namespace {

constexpr std::int64_t kBackoffMsMin = 100;
constexpr std::int64_t kBackoffMsMax = 30'000;

bool is_outcome_unknown(const Error& error) { return outcome(error.code) == Outcome::kUnknown; }

/// May END succeed later? INCOMPLETE is retryable for somebody who can still add halves; here all were counted.
bool may_end_later(const Error& error) {
  return retryable(error.code) && error.code != ErrorCode::kIncomplete;
}

}  // namespace

void ProducerCore::begin(std::int64_t now_ms, TransactionKey key, BeginTransaction&& begin) {
  if (open_.size() >= options_.transactions_max) {
    const std::string open = std::to_string(open_.size());
    act(action::Refuse{
        key, Error(ErrorCode::kOverloaded, open + " transactions are open or not yet confirmed")});
    return;
  }
  auto owned = std::make_unique<Transaction>();
  Transaction& transaction = *owned;
  transaction.key = key;
  transaction.state = State::kPreparing;
  transaction.asked = std::move(begin);
  transaction.begun_ms = now_ms;
  transaction.result.id = transaction.asked.id;
  open_.emplace(key, std::move(owned));
  by_id_.emplace(transaction.asked.id, key);
  const auto halves = static_cast<std::uint32_t>(transaction.asked.halves.size());
  for (std::uint32_t message = 1; message <= halves; ++message) {
    // Only the very first half of an id made here can be unknown to the broker for sure.
    ask_prepare(now_ms, transaction, message, message == 1 && !transaction.asked.id_of_caller);
  }
}

void ProducerCore::ask_prepare(std::int64_t now_ms, Transaction& transaction, std::uint32_t message,
                               bool fresh) {
  const BeginTransaction& asked = transaction.asked;
  const BeginTransaction::Half& half = asked.halves[message - 1];
  ++transaction.flying;
  act(action::AskPrepare{transaction.key, message,
                         PrepareRequest{.topic = half.topic,
                                        .transaction = asked.id,
                                        .group = options_.group,
                                        .store = asked.store,
                                        .message = message,
                                        .fresh = fresh,
                                        .first_check_ms = asked.first_check_ms,
                                        .lifetime_ms = asked.lifetime_ms},
                         half.block, time_left_ms(now_ms, transaction)});
}

void ProducerCore::prepare_answered(std::int64_t now_ms, TransactionKey key, std::uint32_t message,
                                    const Result<PrepareResponse>& answer) {
  Transaction* transaction = find(key, State::kPreparing);
  if (transaction == nullptr) return;
  --transaction->flying;
  if (answer) {
    half_stored(*transaction, *answer);
  } else {
    const Error& error = answer.error();
    transaction->may_be_stored = transaction->may_be_stored || is_outcome_unknown(error);
    const bool again = error.code == ErrorCode::kDisconnected && !transaction->failure &&
                       time_left_ms(now_ms, *transaction) > 0;
    if (again) {
      ask_prepare(now_ms, *transaction, message, false);
    } else if (!transaction->failure) {
      transaction->failure = error;
    }
  }
  if (transaction->flying > 0) return;
  if (transaction->failure) return give_up(*transaction);
  if (!transaction->asked.id_of_caller) return run_local(*transaction);
  transaction->state = State::kLooking;
  ask_show(now_ms, *transaction);
}

void ProducerCore::ask_show(std::int64_t now_ms, Transaction& transaction) {
  act(action::AskShow{transaction.key, transaction.asked.id, time_left_ms(now_ms, transaction)});
}

std::int64_t ProducerCore::time_left_ms(std::int64_t now_ms, const Transaction& transaction) {
  return transaction.begun_ms + transaction.asked.timeout_ms - now_ms;
}

void ProducerCore::half_stored(Transaction& transaction, const PrepareResponse& answer) {
  if (transaction.stored > 0 && answer.handle != transaction.handle && !transaction.failure) {
    // The broker lost the first halves between two attempts (a new data directory).
    transaction.failure = Error(ErrorCode::kConflict, "the halves stand under different handles");
  }
  ++transaction.stored;
  transaction.handle = answer.handle;
  // The broker's own lifetime begins when the half is stored, so counted from before PREPARE this ends first. An id of the
  // caller may stand for a half stored long ago: then its end by the broker's clock counts too.
  std::int64_t deadline_ms = transaction.begun_ms + (answer.expires_at_ms - answer.handle.time_ms);
  if (transaction.asked.id_of_caller) {
    deadline_ms = std::min(deadline_ms, answer.expires_at_ms - broker_ahead_ms_);
  }
  transaction.deadline_ms =
      transaction.stored == 1 ? deadline_ms : std::min(transaction.deadline_ms, deadline_ms);
}

void ProducerCore::give_up(Transaction& transaction) {
  Error why = *transaction.failure;
  if (is_outcome_unknown(why)) {
    // For the caller it is definite: no local work was run, so whatever is stored will be rolled back.
    why = Error(ErrorCode::kUnreachable, "the transaction could not be stored in time (" +
                                             to_string(why) + "); this call changed nothing");
  }
  act(action::Refuse{transaction.key, why});
  // An id of the caller may stand for work that runs elsewhere: only a check may roll that back.
  if (transaction.stored > 0 && !transaction.asked.id_of_caller) {
    transaction.result.outcome = TransactionOutcome::kRolledBack;
    transaction.result.cause = why;
    return end(transaction, Decision::kRollback);
  }
  if (transaction.stored > 0 || transaction.may_be_stored) {
    log(LogLevel::kInfo, "transaction " + transaction.asked.id +
                             " was given up; the check-back will roll back what is stored");
  }
  finish(transaction, why);
}

void ProducerCore::show_answered(std::int64_t now_ms, TransactionKey key,
                                 const Result<ShowTransactionResponse>& answer) {
  Transaction* transaction = find(key, State::kLooking);
  if (transaction == nullptr) return;
  if (!answer) {
    const bool cut_off = answer.error().code == ErrorCode::kDisconnected;
    if (cut_off && time_left_ms(now_ms, *transaction) > 0) return ask_show(now_ms, *transaction);
    transaction->failure = answer.error();
    return give_up(*transaction);
  }
  const TransactionState state = answer->transaction.state;
  if (state == TransactionState::kPending || state == TransactionState::kParked) {
    return run_local(*transaction);
  }
  transaction->result.replayed = true;
  transaction->result.outcome = state == TransactionState::kCommitted
                                    ? TransactionOutcome::kCommitted
                                    : TransactionOutcome::kRolledBack;
  const TransactionResult result = transaction->result;
  act(action::Refuse{key, result});
  finish(*transaction, result);
}

void ProducerCore::run_local(Transaction& transaction) {
  transaction.state = State::kRunning;
  for (auto& half : transaction.asked.halves) half.block = {};  // stored: not needed again
  act(action::RunLocal{transaction.key, transaction.handle, transaction.deadline_ms});
}

TransactionResult ProducerCore::result_of(std::string_view id, const LocalOutcome& outcome) {
  TransactionResult result{.id = std::string(id), .cause = outcome.cause};
  switch (outcome.kind) {
    case LocalOutcome::Kind::kAlreadyCommitted:
      result.replayed = true;
      [[fallthrough]];
    case LocalOutcome::Kind::kCommitted:
      result.outcome = TransactionOutcome::kCommitted;
      break;
    case LocalOutcome::Kind::kRolledBack:
      result.replayed = outcome.other_half;
      result.outcome = TransactionOutcome::kRolledBack;
      break;
    case LocalOutcome::Kind::kUnknown:
      result.outcome = TransactionOutcome::kInDoubt;
      break;
  }
  return result;
}

void ProducerCore::local_finished(std::int64_t now_ms, TransactionKey key,
                                  const LocalOutcome& outcome) {
  Transaction* transaction = find(key, State::kRunning);
  if (transaction == nullptr) return;
  if (now_ms > transaction->deadline_ms) {
    log(LogLevel::kWarning, "transaction " + transaction->asked.id +
                                ": the local work ended after the transaction's lifetime");
  }
  transaction->result = result_of(transaction->asked.id, outcome);
  switch (outcome.kind) {
    case LocalOutcome::Kind::kUnknown:
      return resolve(*transaction);
    case LocalOutcome::Kind::kRolledBack:
      return end(*transaction, Decision::kRollback);
    case LocalOutcome::Kind::kAlreadyCommitted:
      // Committed under an earlier half of the id: this half is a double.
      if (outcome.other_half) return end(*transaction, Decision::kRollback);
      [[fallthrough]];
    case LocalOutcome::Kind::kCommitted:
      return end(*transaction, Decision::kCommit);
  }
}

void ProducerCore::end(Transaction& transaction, Decision decision) {
  transaction.state = State::kEnding;
  transaction.decision = decision;
  transaction.attempts = 0;
  transaction.asked.halves.resize(transaction.stored);  // only their number is needed
  for (auto& half : transaction.asked.halves) half = {};
  ask_end(transaction);
}

void ProducerCore::ask_end(Transaction& transaction) {
  act(action::AskEnd{transaction.key,
                     EndRequest{.transaction = transaction.asked.id,
                                .group = options_.group,
                                .decision = transaction.decision,
                                .handle = transaction.handle,
                                .messages = transaction.stored},
                     kEndTimeoutMs});
}

void ProducerCore::end_answered(std::int64_t now_ms, TransactionKey key,
                                const Result<EndResponse>& answer) {
  Transaction* transaction = find(key, State::kEnding);
  if (transaction == nullptr) return;
  if (answer) {
    const TransactionResult result = transaction->result;
    return finish(*transaction, result);
  }
  const Error& error = answer.error();
  // The connection waits for the broker by itself: an END that was cut off is asked again at once.
  const bool cut_off = error.code == ErrorCode::kDisconnected ||
                       error.code == ErrorCode::kTimeout || error.code == ErrorCode::kUnreachable;
  if (cut_off) return ask_end(*transaction);
  if (may_end_later(error)) return retry_later(now_ms, *transaction);
  const bool only_given_up = transaction->result.cause.has_value() &&
                             transaction->decision == Decision::kRollback &&
                             error.code == ErrorCode::kIncomplete;
  if (only_given_up) {
    log(LogLevel::kInfo, "transaction " + transaction->asked.id +
                             " was given up; the check-back will roll back what is stored");
  } else {
    log(LogLevel::kError,
        "ALARM: transaction " + transaction->asked.id + " is locally " +
            (transaction->decision == Decision::kCommit ? "committed" : "rolled back") +
            ", and the broker refuses that: " + to_string(error));
  }
  finish(*transaction, error);
}

void ProducerCore::retry_later(std::int64_t now_ms, Transaction& transaction) {
  const std::uint32_t doublings = std::min(transaction.attempts++, 16u);
  set_due(transaction, now_ms + std::min(kBackoffMsMin << doublings, kBackoffMsMax));
}

void ProducerCore::set_due(Transaction& transaction, std::int64_t due_ms) {
  transaction.due_ms = due_ms;
  due_.emplace(due_ms, transaction.key);
}

void ProducerCore::tick(std::int64_t now_ms) {
  if (auto list = cleaning_.tick(now_ms)) act(*std::move(list));
  if (register_due_ms_ <= now_ms) {
    register_due_ms_ = kNever;
    ask_register();
  }
  while (!due_.empty() && due_.begin()->first <= now_ms) {
    const auto [due_ms, key] = *due_.begin();
    due_.erase(due_.begin());
    const auto found = open_.find(key);
    if (found == open_.end() || found->second->due_ms != due_ms) continue;
    Transaction& transaction = *found->second;
    transaction.due_ms = kNever;
    if (transaction.state == State::kEnding) ask_end(transaction);
    if (transaction.state == State::kResolving) resolve(transaction);
  }
}

std::int64_t ProducerCore::next_tick_ms() const {
  return std::min(
      {register_due_ms_, cleaning_.next_tick_ms(), due_.empty() ? kNever : due_.begin()->first});
}

ProducerCore::Transaction* ProducerCore::find(TransactionKey key, State state) {
  const auto found = open_.find(key);
  return found == open_.end() || found->second->state != state ? nullptr : found->second.get();
}

void ProducerCore::finish(Transaction& transaction, const Result<TransactionResult>& result) {
  for (const WaiterKey waiter : transaction.waiters) act(action::Settle{waiter, result});
  const auto [first, last] = by_id_.equal_range(transaction.asked.id);
  const auto mine =
      std::find_if(first, last, [&](const auto& entry) { return entry.second == transaction.key; });
  if (mine != last) by_id_.erase(mine);
  open_.erase(transaction.key);
}

}  // namespace tally
