// What checks bring, and transactions that wait for a person: answers, receipts, parking.

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
  if (request.decision == Decision::kUnknown) {
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
  const TxRow& row = rule(transaction->state, TxEvent::kCheckDelivered);
  if (row.answer == TxAnswer::kCounted && check->attempt == transaction->checks + 1) {
    ++transaction->checks;
    auto& records = transaction->check_records;
    if (records.size() == kCheckRecordsMax) records.erase(records.begin());
    records.push_back({.delivered_at_ms = applying.time_ms, .client = std::string(check->client)});
    ++context_.counters.checks_delivered;
    transactions_.changed(*transaction);
  }
  transaction->counting = false;
  checkers_.update(*transaction);
  unpin_if_serving(*transaction);
  return true;
}

bool TransactionDesk::apply_park(const Applying& applying) {
  const auto park =
      store::decode<store::ParkExtension>(applying.record.header, applying.record.extension);
  if (!park) return false;
  Transaction* transaction = transactions_.find(park->transaction);
  if (transaction == nullptr ||
      rule(transaction->state, TxEvent::kPark).answer != TxAnswer::kParked) {
    return true;
  }
  transaction->state = TxState::kParked;
  transaction->reason = park->reason;
  --context_.counters.pending;
  ++context_.counters.parked;
  transactions_.changed(*transaction);
  checkers_.update(*transaction);
  return true;
}

bool TransactionDesk::apply_resume(const Applying& applying) {
  const auto resume =
      store::decode<store::ResumeExtension>(applying.record.header, applying.record.extension);
  if (!resume) return false;
  Transaction* transaction = transactions_.find(resume->transaction);
  if (transaction == nullptr ||
      rule(transaction->state, TxEvent::kResume).answer != TxAnswer::kResumed) {
    return true;
  }
  transaction->state = TxState::kPending;
  transaction->reason.clear();
  ++context_.counters.pending;
  --context_.counters.parked;
  transactions_.changed(*transaction);
  checkers_.update(*transaction);
  return true;
}

}  // namespace tally::broker
