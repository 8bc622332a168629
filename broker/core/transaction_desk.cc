#include "broker/core/transaction_desk.h"

#include <algorithm>
#include <utility>

#include "broker/core/index_keys.h"
#include "protocol/base/check.h"
#include "protocol/base/message_block.h"
#include "protocol/base/seeded_bug.h"

namespace tally::broker {
TxEvent TransactionDesk::event_of(const Transaction& transaction, const HalfQuestion& half) {
  if (transaction.state == TxState::kNone) {
    return half.later ? TxEvent::kPrepareLater : TxEvent::kPrepareNew;
  }
  if (transaction.group() != half.group) return TxEvent::kPrepareForeign;
  if (transaction.has(fingerprint(half.topic, half.number, half.digest)))
    return TxEvent::kPrepareSame;
  if (is_decided(transaction.state)) return TxEvent::kPrepareNew;
  if (transaction.find(half.number) != nullptr) return TxEvent::kPrepareOther;
  if (transaction.halves.size() >= limits::kTransactionMessagesMax ||
      transaction.block_bytes() + half.block_bytes > limits::kTransactionBytesMax) {
    return TxEvent::kPrepareOversize;
  }
  return TxEvent::kPrepareNew;
}

TxEvent TransactionDesk::event_of(const Transaction* transaction,
                                  const store::EndExtension& end) const {
  const bool has_handle = !end.handle.log.is_zero();
  if (transaction == nullptr || transaction->state == TxState::kNone) {
    if (has_handle && end.handle.log != context_.log) return TxEvent::kEndStaleHandle;
    if (has_handle && end.handle.lsn < context_.horizon) return TxEvent::kEndExpired;
    return end.decision == Decision::kCommit ? TxEvent::kCommit : TxEvent::kRollback;
  }
  if (end.decider == Decider::kProducer &&
      (end.group != transaction->group() || end.client != transaction->client())) {
    return TxEvent::kEndForeign;
  }
  if (has_handle && (end.handle.log != context_.log || end.handle.lsn != transaction->lsn) &&
      !TALLY_SEEDED_BUG("stale_handle_accepted")) {
    return TxEvent::kEndStaleHandle;
  }
  if (is_open(transaction->state) && end.messages != 0 &&
      end.messages != transaction->halves.size() &&
      !TALLY_SEEDED_BUG("incomplete_transaction_committed")) {
    return TxEvent::kEndIncomplete;
  }
  return end.decision == Decision::kCommit ? TxEvent::kCommit : TxEvent::kRollback;
}

Error TransactionDesk::error_for(const Transaction* transaction, TxAnswer answer,
                                 std::string_view id) const {
  std::string text = "transaction " + std::string(id);
  if (answer == TxAnswer::kAnotherHalf) {
    text.append(" does not stand for the half of the given handle");
  } else if (transaction != nullptr && transaction->state != TxState::kNone) {
    text.append(" is ").append(name(public_state(transaction->state)));
    if (answer == TxAnswer::kIncomplete) {
      text.append(" with ").append(std::to_string(transaction->halves.size())).append(" messages");
    }
  } else {
    text.append(answer == TxAnswer::kExpired ? " is no longer known" : " is not known");
    if (context_.horizon.value != 0) {
      text.append("; decisions are known since ").append(std::to_string(context_.horizon_ms));
      text.append(" ms of the Unix epoch");
    }
  }
  Error error(*error_of(answer), std::move(text));
  if (answer == TxAnswer::kConflict && transaction != nullptr &&
      transaction->state != TxState::kNone) {
    error.winner = transaction->winner();
  }
  return error;
}

// --- prepare ---

void TransactionDesk::admit_prepare(const Waiter& waiter, Command& command,
                                    const store::Keepalive& bytes) {
  if (context_.takes_messages(waiter)) prepare(waiter, command, bytes, LookedUp::kNo);
}

void TransactionDesk::prepare(const Waiter& waiter, Command& command, const store::Keepalive& bytes,
                              LookedUp looked_up) {
  const auto& request = std::get<PrepareRequest>(command.body);
  const Topic* topic = topics_.find(request.topic);
  if (topic == nullptr) {
    return context_.refuse(waiter, ErrorCode::kTopicNotFound, "there is no topic " + request.topic);
  }
  if (request.message < 1 || request.message > limits::kTransactionMessagesMax) {
    return context_.refuse(waiter, ErrorCode::kOutOfRange, "a message's number is 1 to 64");
  }
  Transaction* transaction = transactions_.find(request.transaction);
  if (transaction != nullptr && transaction->loading) {
    return look_up(request.transaction, command, bytes);
  }
  const bool unknown = transaction == nullptr && looked_up == LookedUp::kNo;
  if (unknown && !request.fresh) return look_up(request.transaction, command, bytes);
  if (transaction != nullptr && transaction->pins == 0) {
    const TxAnswer answer =
        rule(transaction->state, event_of(*transaction, {.group = request.group,
                                                         .topic = topic->uid,
                                                         .number = request.message,
                                                         .digest = command.content_digest,
                                                         .block_bytes = command.block.size()}))
            .answer;
    if (answer != TxAnswer::kStored) return answer_half(waiter, *transaction, answer);
  }
  if (!reserves_end(waiter, transaction, request)) return;
  if (transaction == nullptr) transaction = &transactions_.make(request.transaction);
  transactions_.reserve_end(*transaction, request.group, client_of(sessions_, command.session));
  transactions_.pin(*transaction);
  const CheckSettings checks = producer_groups_.settings(request.group, topic);
  const store::HalfExtension half{
      .route_hash = command.route_hash,
      .tag_hash = command.tag_hash,
      .content_digest = command.content_digest,
      .message = request.message,
      .first_check_ms =
          (request.first_check_ms > 0 ? request.first_check_ms : checks.first_check_ms) +
          (TALLY_SEEDED_BUG("client_clock")
               ? MessageBlock::parse(command.block)->born_ms() - context_.now_ms()
               : 0),
      .lifetime_ms = request.lifetime_ms > 0 ? request.lifetime_ms : checks.lifetime_ms,
      .store = request.store,
      .transaction = request.transaction,
      .group = request.group,
      .client = client_of(sessions_, command.session),
      .fresh = unknown,
      .later = transaction->pins > 1 || transaction->state != TxState::kNone};
  context_.proposals.propose(waiter, context_.now_ms(), topic->uid, half.flags(), half,
                             command.block, command.block_checksum);
  context_.proposals.keep(bytes);
}

bool TransactionDesk::reserves_end(const Waiter& waiter, const Transaction* transaction,
                                   const PrepareRequest& request) {
  if (transaction != nullptr && transaction->end_bytes != 0) return true;
  const std::uint64_t reserved = context_.end_bytes_reserved;
  const std::uint64_t most = context_.options.end_bytes_max;
  if (reserved +
          end_bytes(request.transaction, request.group, client_of(sessions_, waiter.session)) <=
      most) {
    return true;
  }
  ++context_.counters.disk_full;
  context_.refuse(waiter, ErrorCode::kDiskFull,
                  "the ends of open transactions may need " + std::to_string(reserved) +
                      " bytes, and the log's reserve for them has " + std::to_string(most));
  return false;
}

void TransactionDesk::look_up(std::string_view id, Command& command,
                              const store::Keepalive& bytes) {
  const std::string key(id);
  Transaction& transaction = transactions_.obtain(key);
  if (!transaction.loading) {
    transaction.loading = true;
    transactions_.pin(transaction);
    context_.loads.get(keys::transaction(context_.shard, keys::Kind::kDecided, key),
                       [this, key](StoredPairs&& found) { looked_up(key, std::move(found)); });
  }
  delayed_[key].push_back({std::move(command), bytes});
}

void TransactionDesk::looked_up(const std::string& id, StoredPairs&& found) {
  Transaction* transaction = transactions_.find(id);
  TALLY_CHECK(transaction != nullptr && transaction->loading);
  transaction->loading = false;
  if (!found.empty()) TALLY_CHECK(transactions_.insert_decided(id, found.front().second));
  // The look-up's own pin is dropped first: it must not keep requests from being judged at once.
  --transaction->pins;
  resume_delayed(id, LookedUp::kYes);
  transactions_.release_if_idle(*transaction);
}

void TransactionDesk::resume_delayed(const std::string& id, LookedUp looked_up) {
  auto node = delayed_.extract(id);
  if (node.empty()) return;
  for (auto& [command, bytes] : node.mapped()) {
    const Waiter waiter{
        .session = command.session, .request = command.request, .kind = kind_of(command.body)};
    switch (waiter.kind) {
      case RequestKind::kPrepare:
        prepare(waiter, command, bytes, looked_up);
        break;
      case RequestKind::kEnd:
        end(waiter, command, looked_up);
        break;
      default:
        admit_answer(waiter, command);
    }
  }
}

void TransactionDesk::delay(Transaction& transaction, Command& command,
                            const store::Keepalive& bytes) {
  transaction.delayed = true;
  delayed_[std::string(transaction.id())].push_back({std::move(command), bytes});
}

void TransactionDesk::flush() {
  for (const std::string& id : std::exchange(ended_, {})) resume_delayed(id, LookedUp::kNo);
}

void TransactionDesk::answer_half(const Waiter& waiter, const Transaction& transaction,
                                  TxAnswer answer) {
  if (waiter.session.value == 0) return;
  if (error_of(answer)) {
    return context_.answer(waiter, error_for(&transaction, answer, transaction.id()));
  }
  context_.answer(waiter, Response(PrepareResponse{
                              .handle = transaction.handle(context_.log),
                              .first_check_at_ms = transaction.time_ms + transaction.first_check_ms,
                              .expires_at_ms = transaction.time_ms + transaction.lifetime_ms}));
}

Result<bool> TransactionDesk::apply_half(const Applying& applying, const store::IndexView* index) {
  const auto& header = applying.record.header;
  const auto half = store::decode<store::HalfExtension>(header, applying.record.extension);
  if (!half || topics_.find(header.topic) == nullptr) return false;
  Transaction* transaction = transactions_.find(half->transaction);
  if (transaction == nullptr && index != nullptr && !half->fresh) {
    TALLY_TRY_VOID(transactions_.look_up(*index, half->transaction));
    transaction = transactions_.find(half->transaction);
  }
  if (transaction == nullptr) transaction = &transactions_.make(half->transaction);
  if (half->fresh && is_decided(transaction->state)) {
    transaction->state = TxState::kNone;  // as when it is no longer in memory
  }
  const TxRow& row =
      rule(transaction->state, event_of(*transaction, {.group = half->group,
                                                       .topic = header.topic,
                                                       .number = half->message,
                                                       .digest = half->content_digest,
                                                       .block_bytes = header.block_bytes,
                                                       .later = half->later}));
  if (row.answer == TxAnswer::kStored) store_half(*transaction, *half, applying);
  if (row.next != transaction->state) transactions_.set_state(*transaction, row.next);
  if (!is_open(row.next)) transactions_.release_end(*transaction);
  answer_half(applying.waiter, *transaction, row.answer);
  checkers_.update(*transaction);
  unpin_if_serving(*transaction);
  return true;
}

void TransactionDesk::store_half(Transaction& transaction, const store::HalfExtension& half,
                                 const Applying& applying) {
  const auto& header = applying.record.header;
  if (transaction.state == TxState::kNone) {
    transaction.origin =
        transactions_.origin({.group = half.group, .client = half.client, .store = half.store});
    transaction.decided_by = {};
    transaction.decided_at_ms = 0;
    transaction.decided_lsn = {};
    transaction.halves.clear();
    transaction.history.reset();
    transaction.checks = 0;
    transaction.lsn = header.lsn;
    transaction.time_ms = applying.time_ms;
    transaction.first_check_ms = as_delay(half.first_check_ms);
    transaction.lifetime_ms = as_delay(half.lifetime_ms);
    transaction.fresh = half.fresh;
    transaction.owner = applying.waiter.session;
    transactions_.reserve_end(transaction, half.group, half.client);
  }
  transaction.halves.push_back(
      {.message = {.lsn = header.lsn,
                   .block_bytes = header.block_bytes,
                   .tag_hash = half.tag_hash,
                   .extension_bytes = header.extension_bytes},
       .topic = header.topic,
       .route_hash = half.route_hash,
       .number = half.message,
       .fingerprint = fingerprint(header.topic, half.message, half.content_digest)});
  ++context_.counters.halves;
  transactions_.changed(transaction);
}

void TransactionDesk::unpin_if_serving(Transaction& transaction) {
  if (context_.serving) {
    transactions_.unpin(transaction);
  } else {
    transactions_.release_if_idle(transaction);
  }
}

// --- end ---

void TransactionDesk::admit_end(const Waiter& waiter, Command& command) {
  end(waiter, command, LookedUp::kNo);
}

void TransactionDesk::end(const Waiter& waiter, Command& command, LookedUp looked_up) {
  const auto& request = std::get<EndRequest>(command.body);
  if (request.decision == Decision::kCommit && request.messages == 0 && !request.by_operator) {
    return context_.refuse(waiter, ErrorCode::kInvalidArgument,
                           "a producer's commit names the number of messages");
  }
  Transaction* transaction = transactions_.find(request.transaction);
  if ((transaction == nullptr && looked_up == LookedUp::kNo) ||
      (transaction != nullptr && transaction->loading)) {
    return look_up(request.transaction, command, {});
  }
  if (transaction != nullptr && transaction->ending) return delay(*transaction, command, {});
  store::EndExtension end{
      .decision = request.decision,
      .decider = request.by_operator ? Decider::kOperator : Decider::kProducer,
      .messages = request.messages,
      .handle = request.handle,
      .transaction = request.transaction,
      .group = request.by_operator ? std::string_view{} : std::string_view(request.group),
      .client = client_of(sessions_, command.session),
      .reason = request.reason};
  if (transaction == nullptr || transaction->pins == 0) {
    const TxState state = transaction == nullptr ? TxState::kNone : transaction->state;
    const TxAnswer answer = rule(state, event_of(transaction, end)).answer;
    if (answer == TxAnswer::kConflict) ++context_.counters.conflicts;
    if (answer != TxAnswer::kDecided)
      return answer_end(waiter, transaction, answer, end.transaction);
  }
  propose_end(waiter, *transaction, end);
}

void TransactionDesk::propose_end(const Waiter& waiter, Transaction& transaction,
                                  store::EndExtension& end) {
  if (context_.in_reserve()) {  // no room is reserved for these
    end.reason = {};
    if (end.decider != Decider::kProducer) end.client = {};
  }
  if (TALLY_SEEDED_BUG("decision_only_in_memory")) {
    const store::RecordView none{};
    decide(transaction, end, {.record = none, .time_ms = context_.now_ms(), .waiter = waiter});
    return answer_end(waiter, &transaction, TxAnswer::kDecided, end.transaction);
  }
  transactions_.pin(transaction);
  transaction.ending = true;
  context_.proposals.propose(waiter, context_.now_ms(), TopicUid{}, 0, end);
}

void TransactionDesk::answer_end(const Waiter& waiter, const Transaction* transaction,
                                 TxAnswer answer, std::string_view id) {
  if (waiter.session.value == 0) return;
  if (error_of(answer)) return context_.answer(waiter, error_for(transaction, answer, id));
  if (waiter.kind == RequestKind::kAnswerCheck) {
    return context_.answer(waiter, Response(AnswerCheckResponse{.result = transaction->winner()}));
  }
  context_.answer(waiter, Response(EndResponse{.result = transaction->winner(),
                                               .repeated = answer == TxAnswer::kRepeated}));
}

bool TransactionDesk::apply_end(const Applying& applying) {
  const auto end =
      store::decode<store::EndExtension>(applying.record.header, applying.record.extension);
  if (!end) return false;
  Transaction* transaction = transactions_.find(end->transaction);
  if (transaction == nullptr) return true;  // replay of one that was decided before the checkpoint
  const TxRow& row = rule(transaction->state, event_of(transaction, *end));
  if (row.answer == TxAnswer::kDecided) {
    decide(*transaction, *end, applying);
  } else if (row.answer == TxAnswer::kConflict) {
    ++context_.counters.conflicts;
  }
  answer_end(applying.waiter, transaction, row.answer, end->transaction);
  transaction->ending = false;
  if (transaction->delayed) ended_.emplace_back(end->transaction);
  transaction->delayed = false;
  checkers_.update(*transaction);
  unpin_if_serving(*transaction);
  return true;
}

void TransactionDesk::decide(Transaction& transaction, const store::EndExtension& end,
                             const Applying& applying) {
  transactions_.release_end(transaction);
  const bool commit = end.decision == Decision::kCommit;
  transactions_.set_state(transaction, commit ? TxState::kCommitted : TxState::kRolledBack);
  transaction.decided_by = end.decider;
  transaction.decided_at_ms = applying.time_ms;
  transaction.decided_lsn = applying.record.header.lsn;
  if (!end.client.empty() && end.client != transaction.client()) {
    transaction.story().decided_by = end.client;
  }
  if (!end.reason.empty()) {
    transaction.story().reason = end.reason;
  } else if (transaction.history) {
    transaction.history->reason.clear();
  }
  if (end.decider == Decider::kCheck) {
    answered(transaction, end.client, end.decision, end.reason, applying.time_ms);
  }
  auto& halves = transaction.halves;
  if (halves.size() > 1) {
    std::sort(halves.begin(), halves.end(), [](auto& a, auto& b) { return a.number < b.number; });
  }
  if (commit) {
    for (const Half& half : halves) {
      topics_.publish(*topics_.find(half.topic), half.message, half.route_hash);
    }
  }
  context_.counters.decided(end.decision, end.decider);
  context_.decision_times.add(transaction.decided_at_ms - transaction.time_ms);
  if (TALLY_SEEDED_BUG("no_state_on_end")) return void(transaction.state = TxState::kPending);
  transactions_.decided(transaction);
}

}  // namespace tally::broker
