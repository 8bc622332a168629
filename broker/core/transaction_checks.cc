// What checks bring, and transactions that wait for a person: answers, receipts, parking.

#include <algorithm>

#include "broker/core/transaction_desk.h"

namespace tally::broker {

void TransactionDesk::admit_answer(const Waiter& waiter, Command& command) {
  const auto& request = std::get<AnswerCheckRequest>(command.body);
  Transaction* transaction = transactions_.find(request.transaction);
  if (transaction != nullptr && transaction->ending) return delay(*transaction, command, {});
  if (transaction == nullptr ||
      !checkers_.take_answer(*transaction, waiter.session, request.challenge)) {
    return context_.refuse(
        waiter, ErrorCode::kWrongChallenge,
        "transaction " + request.transaction + " was not asked about with this challenge");
  }
  ++(request.decision == Decision::kCommit     ? context_.counters.checks_commit
     : request.decision == Decision::kRollback ? context_.counters.checks_rollback
                                               : context_.counters.checks_unknown);
  if (request.decision == Decision::kUnknown) {
    if (!context_.in_reserve()) {
      transactions_.pin(*transaction);
      context_.proposals.propose(
          Waiter{}, context_.now_ms(), TopicUid{}, 0,
          store::CheckAnsweredExtension{.transaction = request.transaction,
                                        .client = client_of(sessions_, waiter.session),
                                        .reason = request.reason});
    }
    checkers_.update(*transaction);
    return context_.answer(waiter, Response(AnswerCheckResponse{.result = transaction->winner()}));
  }
  store::EndExtension end{.decision = request.decision,
                          .decider = Decider::kCheck,
                          .messages = request.messages,
                          .handle = transaction->handle(context_.log),
                          .transaction = request.transaction,
                          .group = {},
                          .client = client_of(sessions_, waiter.session),
                          .reason = request.reason};
  if (transaction->pins == 0) {
    const TxAnswer answer = rule(transaction->state, event_of(transaction, end)).answer;
    if (answer != TxAnswer::kDecided) {
      if (answer == TxAnswer::kConflict) ++context_.counters.conflicts;
      checkers_.update(*transaction);
      return answer_end(waiter, transaction, answer, end.transaction);
    }
  }
  propose_end(waiter, *transaction, end);
}

bool TransactionDesk::apply_check_delivered(const Applying& applying) {
  const auto check = store::decode<store::CheckDeliveredExtension>(applying.record.header,
                                                                   applying.record.extension);
  if (!check) return false;
  Transaction* transaction = transactions_.find(check->transaction);
  if (transaction == nullptr) return true;
  const TxAnswer answer = rule(transaction->state, TxEvent::kCheckDelivered).answer;
  const bool counts = answer == TxAnswer::kCounted && check->attempt == transaction->checks + 1;
  if (counts) ++transaction->checks;
  if (counts || transaction->state == TxState::kParked) {
    auto& checks = transaction->story().checks;
    if (checks.size() == kCheckRecordsMax) checks.erase(checks.begin());
    checks.push_back({.delivered_at_ms = applying.time_ms, .client = std::string(check->client)});
    ++context_.counters.checks_delivered;
    transactions_.changed(*transaction);
  }
  transaction->counting = false;
  checkers_.update(*transaction);
  unpin_if_serving(*transaction);
  return true;
}

void TransactionDesk::answered(Transaction& transaction, std::string_view client, Decision answer,
                               std::string_view reason, std::int64_t time_ms) {
  if (transaction.history == nullptr) return;
  auto& checks = transaction.history->checks;
  const auto check = std::find_if(checks.rbegin(), checks.rend(), [&](const CheckRecord& record) {
    return record.answered_at_ms == 0 && record.client == client;
  });
  if (check == checks.rend()) return;
  check->answered_at_ms = time_ms;
  check->answer = answer;
  check->reason = reason;
}

bool TransactionDesk::apply_check_answered(const Applying& applying) {
  const auto answer = store::decode<store::CheckAnsweredExtension>(applying.record.header,
                                                                   applying.record.extension);
  if (!answer) return false;
  Transaction* transaction = transactions_.find(answer->transaction);
  if (transaction == nullptr) return true;
  if (is_open(transaction->state)) {
    answered(*transaction, answer->client, Decision::kUnknown, answer->reason, applying.time_ms);
    transactions_.changed(*transaction);
  }
  unpin_if_serving(*transaction);
  return true;
}

// --- an operator's hand ---

void TransactionDesk::answer_managed(const Waiter& waiter, Transaction& transaction,
                                     std::uint32_t checkers) {
  if (waiter.session.value == 0) return;
  context_.answer(waiter, Response(ManageTransactionResponse{
                              .state = public_state(transaction.state),
                              .next_check_at_ms = checkers_.next_check_at_ms(transaction),
                              .checkers = checkers}));
}

void TransactionDesk::admit_manage(const Waiter& waiter, const ManageTransactionRequest& request) {
  Transaction* transaction = transactions_.find(request.transaction);
  if (transaction == nullptr || !is_open(transaction->state)) {
    return with_known(waiter, request.transaction,
                      [this, waiter, request](const Transaction& known) {
                        if (is_open(known.state)) return admit_manage(waiter, request);
                        context_.answer(waiter, error_for(&known, TxAnswer::kEnded, known.id()));
                      });
  }
  if (request.action == TransactionAction::kCheck) {
    return answer_managed(waiter, *transaction, checkers_.ask_now(*transaction));
  }
  if (context_.in_reserve()) {
    return context_.refuse(waiter, ErrorCode::kDiskFull, "what is left of the disk is for ends");
  }
  transactions_.pin(*transaction);
  if (request.action == TransactionAction::kPark) {
    context_.proposals.propose(
        waiter, context_.now_ms(), TopicUid{}, 0,
        store::ParkExtension{.transaction = request.transaction, .reason = request.reason});
  } else {
    context_.proposals.propose(
        waiter, context_.now_ms(), TopicUid{}, 0,
        store::ResumeExtension{.transaction = request.transaction, .reason = request.reason});
  }
}

bool TransactionDesk::apply_park(const Applying& applying) {
  const auto park =
      store::decode<store::ParkExtension>(applying.record.header, applying.record.extension);
  if (!park) return false;
  Transaction* transaction = transactions_.find(park->transaction);
  if (transaction == nullptr) return true;
  const TxAnswer answer = rule(transaction->state, TxEvent::kPark).answer;
  if (answer == TxAnswer::kParked) {
    transactions_.set_state(*transaction, TxState::kParked);
    transaction->story().reason = park->reason;
    transactions_.changed(*transaction);
    checkers_.stop(*transaction);
  }
  finish_managed(applying, *transaction, answer);
  return true;
}

bool TransactionDesk::apply_resume(const Applying& applying) {
  const auto resume =
      store::decode<store::ResumeExtension>(applying.record.header, applying.record.extension);
  if (!resume) return false;
  Transaction* transaction = transactions_.find(resume->transaction);
  if (transaction == nullptr) return true;
  const TxAnswer answer = rule(transaction->state, TxEvent::kResume).answer;
  if (answer == TxAnswer::kResumed) {
    transactions_.set_state(*transaction, TxState::kPending);
    transaction->checks = 0;
    transaction->not_before_ms = 0;
    transaction->story().resumed_at_ms = applying.time_ms;
    transaction->story().reason = resume->reason;
    transactions_.changed(*transaction);
  }
  finish_managed(applying, *transaction, answer);
  return true;
}

void TransactionDesk::finish_managed(const Applying& applying, Transaction& transaction,
                                     TxAnswer answer) {
  transaction.parking = false;
  checkers_.update(transaction);
  if (error_of(answer)) {
    context_.answer(applying.waiter, error_for(&transaction, answer, transaction.id()));
  } else {
    answer_managed(applying.waiter, transaction, checkers_.online(transaction));
  }
  unpin_if_serving(transaction);
}

}  // namespace tally::broker
