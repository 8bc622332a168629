// Sending, transactions, check-back.

#include "protocol/base/limits.h"
#include "protocol/base/names.h"
#include "protocol/wire/convert.h"

namespace tally::wire {
namespace {

Result<void> check_message_count(std::uint32_t messages) {
  return check_range("messages", messages, 0, limits::kTransactionMessagesMax);
}

Result<void> check_reason(std::string_view reason) {
  return check_length("the reason", reason, limits::kReasonBytesMax);
}

void write_transaction(const TransactionInfo& from, pb::TransactionInfo& to) {
  to.set_id(from.id);
  to.set_group(from.group);
  to.set_client(from.client);
  write_id(from.store, *to.mutable_store());
  to.set_state(static_cast<std::uint32_t>(from.state));
  for (const std::string& topic : from.topics) to.add_topics(topic);
  to.set_messages(from.messages);
  to_wire(from.handle, *to.mutable_handle());
  to.set_next_check_at_ms(from.next_check_at_ms);
  to.set_expires_at_ms(from.expires_at_ms);
  to.set_checks(from.checks);
  to.set_decided_by(static_cast<std::uint32_t>(from.decided_by));
  to.set_decided_at_ms(from.decided_at_ms);
  to.set_decided_by_client(from.decided_by_client);
  to.set_reason(from.reason);
  for (const CheckRecord& record : from.check_records) {
    pb::CheckRecord& added = *to.add_check_records();
    added.set_delivered_at_ms(record.delivered_at_ms);
    added.set_client(record.client);
    added.set_answered_at_ms(record.answered_at_ms);
    added.set_answer(static_cast<std::uint32_t>(record.answer));
    added.set_reason(record.reason);
  }
}

Result<void> read_transaction(const pb::TransactionInfo& from, TransactionInfo& to) {
  to.id = from.id();
  to.group = from.group();
  to.client = from.client();
  TALLY_TRY_VOID(read_id(from.store(), to.store));
  TALLY_TRY_VOID(read_state(from.state(), to.state));
  to.topics.assign(from.topics().begin(), from.topics().end());
  to.messages = from.messages();
  TALLY_TRY_VOID(from_wire(from.handle(), to.handle));
  to.next_check_at_ms = from.next_check_at_ms();
  to.expires_at_ms = from.expires_at_ms();
  to.checks = from.checks();
  TALLY_TRY_VOID(read_decider(from.decided_by(), to.decided_by));
  to.decided_at_ms = from.decided_at_ms();
  to.reason = from.reason();
  to.check_records.reserve(static_cast<std::size_t>(from.check_records_size()));
  to.decided_by_client = from.decided_by_client();
  for (const pb::CheckRecord& record : from.check_records()) {
    CheckRecord& added = to.check_records.emplace_back();
    added.delivered_at_ms = record.delivered_at_ms();
    added.client = record.client();
    added.answered_at_ms = record.answered_at_ms();
    if (record.answer() != 0) TALLY_TRY_VOID(read_decision(record.answer(), added.answer));
    added.reason = record.reason();
  }
  return {};
}

}  // namespace

// --- sending ---

void to_wire(const SendRequest& from, pb::SendRequest& to) {
  to.set_topic(from.topic);
  to.set_producer(from.producer);
  to.set_sequence(from.sequence);
}

Result<void> from_wire(const pb::SendRequest& from, SendRequest& to) {
  TALLY_TRY_VOID(check_name("topic", from.topic()));
  to.topic = from.topic();
  to.producer = from.producer();
  to.sequence = from.sequence();
  return {};
}

void to_wire(const SendResponse& from, pb::SendResponse& to) {
  to.set_lsn(from.lsn.value);
  to.set_queue(from.queue.value);
  to.set_offset(from.offset.value);
}

Result<void> from_wire(const pb::SendResponse& from, SendResponse& to) {
  to.lsn = Lsn{from.lsn()};
  to.queue = QueueId{from.queue()};
  to.offset = Offset{from.offset()};
  return {};
}

// --- transactions ---

void to_wire(const PrepareRequest& from, pb::PrepareRequest& to) {
  to.set_topic(from.topic);
  to.set_transaction(from.transaction);
  to.set_group(from.group);
  write_id(from.store, *to.mutable_store());
  to.set_message(from.message);
  to.set_fresh(from.fresh);
  to.set_first_check_ms(from.first_check_ms);
  to.set_lifetime_ms(from.lifetime_ms);
}

Result<void> from_wire(const pb::PrepareRequest& from, PrepareRequest& to) {
  TALLY_TRY_VOID(check_name("topic", from.topic()));
  TALLY_TRY_VOID(check_transaction_id(from.transaction()));
  TALLY_TRY_VOID(check_name("group", from.group()));
  TALLY_TRY_VOID(read_id(from.store(), to.store));
  if (from.message() > limits::kTransactionMessagesMax) {
    return Error{ErrorCode::kTransactionTooLarge,
                 "message " + std::to_string(from.message()) + " of a transaction, at most " +
                     std::to_string(limits::kTransactionMessagesMax) + " are allowed"};
  }
  TALLY_TRY_VOID(check_range("message", from.message(), 1, limits::kTransactionMessagesMax));
  TALLY_TRY_VOID(
      check_range("first_check_ms", from.first_check_ms(), 0, limits::kTransactionLifetimeMsMax));
  TALLY_TRY_VOID(
      check_range("lifetime_ms", from.lifetime_ms(), 0, limits::kTransactionLifetimeMsMax));
  to.topic = from.topic();
  to.transaction = from.transaction();
  to.group = from.group();
  to.message = from.message();
  to.fresh = from.fresh();
  to.first_check_ms = from.first_check_ms();
  to.lifetime_ms = from.lifetime_ms();
  return {};
}

void to_wire(const PrepareResponse& from, pb::PrepareResponse& to) {
  to_wire(from.handle, *to.mutable_handle());
  to.set_first_check_at_ms(from.first_check_at_ms);
  to.set_expires_at_ms(from.expires_at_ms);
}

Result<void> from_wire(const pb::PrepareResponse& from, PrepareResponse& to) {
  to.first_check_at_ms = from.first_check_at_ms();
  to.expires_at_ms = from.expires_at_ms();
  return from_wire(from.handle(), to.handle);
}

void to_wire(const EndRequest& from, pb::EndRequest& to) {
  to.set_transaction(from.transaction);
  to.set_group(from.group);
  to.set_decision(static_cast<std::uint32_t>(from.decision));
  if (from.handle != Handle{}) to_wire(from.handle, *to.mutable_handle());
  to.set_messages(from.messages);
  to.set_by_operator(from.by_operator);
  to.set_reason(from.reason);
}

Result<void> from_wire(const pb::EndRequest& from, EndRequest& to) {
  TALLY_TRY_VOID(check_transaction_id(from.transaction()));
  if (!from.by_operator() || !from.group().empty()) {
    TALLY_TRY_VOID(check_name("group", from.group()));
  }
  TALLY_TRY_VOID(read_decision(from.decision(), to.decision));
  if (to.decision == Decision::kUnknown) {
    return Error{ErrorCode::kInvalidArgument, "an END decides commit or rollback"};
  }
  TALLY_TRY_VOID(from_wire(from.handle(), to.handle));
  TALLY_TRY_VOID(check_message_count(from.messages()));
  TALLY_TRY_VOID(check_reason(from.reason()));
  to.transaction = from.transaction();
  to.group = from.group();
  to.messages = from.messages();
  to.by_operator = from.by_operator();
  to.reason = from.reason();
  return {};
}

void to_wire(const EndResponse& from, pb::EndResponse& to) {
  to_wire(from.result, *to.mutable_result());
  to.set_repeated(from.repeated);
}

Result<void> from_wire(const pb::EndResponse& from, EndResponse& to) {
  to.repeated = from.repeated();
  return from_wire(from.result(), to.result);
}

void to_wire(const ShowTransactionRequest& from, pb::ShowTransactionRequest& to) {
  to.set_transaction(from.transaction);
}

Result<void> from_wire(const pb::ShowTransactionRequest& from, ShowTransactionRequest& to) {
  TALLY_TRY_VOID(check_transaction_id(from.transaction()));
  to.transaction = from.transaction();
  return {};
}

void to_wire(const ShowTransactionResponse& from, pb::ShowTransactionResponse& to) {
  write_transaction(from.transaction, *to.mutable_transaction());
  to.set_checkers(from.checkers);
}

Result<void> from_wire(const pb::ShowTransactionResponse& from, ShowTransactionResponse& to) {
  to.checkers = from.checkers();
  return read_transaction(from.transaction(), to.transaction);
}

void to_wire(const ListTransactionsRequest& from, pb::ListTransactionsRequest& to) {
  to.set_state(from.state);
  to.set_after(from.after);
  to.set_limit(from.limit);
  to.set_group(from.group);
  to.set_older_than_ms(from.older_than_ms);
}

Result<void> from_wire(const pb::ListTransactionsRequest& from, ListTransactionsRequest& to) {
  if (from.state() != 0) {
    TransactionState state{};
    TALLY_TRY_VOID(read_state(from.state(), state));
  }
  TALLY_TRY_VOID(check_length("the id to go on after", from.after(), limits::kFieldBytesMax));
  TALLY_TRY_VOID(check_range("limit", from.limit(), 0, limits::kListPageMax));
  if (!from.group().empty()) TALLY_TRY_VOID(check_name("group", from.group()));
  TALLY_TRY_VOID(check_range("older_than_ms", from.older_than_ms(), 0, limits::kAgeMsMax));
  to.group = from.group();
  to.older_than_ms = from.older_than_ms();
  to.state = from.state();
  to.after = from.after();
  to.limit = from.limit();
  return {};
}

void to_wire(const ListTransactionsResponse& from, pb::ListTransactionsResponse& to) {
  for (const TransactionInfo& transaction : from.transactions) {
    write_transaction(transaction, *to.add_transactions());
  }
  to.set_more(from.more);
  to.set_next_after(from.next_after);
}

Result<void> from_wire(const pb::ListTransactionsResponse& from, ListTransactionsResponse& to) {
  to.transactions.reserve(static_cast<std::size_t>(from.transactions_size()));
  for (const pb::TransactionInfo& transaction : from.transactions()) {
    TALLY_TRY_VOID(read_transaction(transaction, to.transactions.emplace_back()));
  }
  to.more = from.more();
  to.next_after = from.next_after();
  return {};
}

void to_wire(const ManageTransactionRequest& from, pb::ManageTransactionRequest& to) {
  to.set_transaction(from.transaction);
  to.set_action(static_cast<std::uint32_t>(from.action));
  to.set_reason(from.reason);
}

Result<void> from_wire(const pb::ManageTransactionRequest& from, ManageTransactionRequest& to) {
  TALLY_TRY_VOID(check_transaction_id(from.transaction()));
  TALLY_TRY_VOID(check_range("action", from.action(), 1,
                             static_cast<std::uint32_t>(TransactionAction::kResume)));
  TALLY_TRY_VOID(check_reason(from.reason()));
  to.transaction = from.transaction();
  to.action = static_cast<TransactionAction>(from.action());
  to.reason = from.reason();
  return {};
}

void to_wire(const ManageTransactionResponse& from, pb::ManageTransactionResponse& to) {
  to.set_state(static_cast<std::uint32_t>(from.state));
  to.set_next_check_at_ms(from.next_check_at_ms);
  to.set_checkers(from.checkers);
}

Result<void> from_wire(const pb::ManageTransactionResponse& from, ManageTransactionResponse& to) {
  TALLY_TRY_VOID(read_state(from.state(), to.state));
  to.next_check_at_ms = from.next_check_at_ms();
  to.checkers = from.checkers();
  return {};
}

void to_wire(const FindFinalRequest& from, pb::FindFinalRequest& to) {
  for (const std::string& transaction : from.transactions) to.add_transactions(transaction);
}

Result<void> from_wire(const pb::FindFinalRequest& from, FindFinalRequest& to) {
  TALLY_TRY_VOID(
      check_range("number of transactions", from.transactions_size(), 1, limits::kFindFinalMax));
  for (const std::string& transaction : from.transactions()) {
    TALLY_TRY_VOID(check_transaction_id(transaction));
  }
  to.transactions.assign(from.transactions().begin(), from.transactions().end());
  return {};
}

void to_wire(const FindFinalResponse& from, pb::FindFinalResponse& to) {
  for (const Finality one : from.finality) to.add_finality(static_cast<std::uint32_t>(one));
  to.set_known_since_ms(from.known_since_ms);
}

Result<void> from_wire(const pb::FindFinalResponse& from, FindFinalResponse& to) {
  to.finality.reserve(static_cast<std::size_t>(from.finality_size()));
  for (const std::uint32_t one : from.finality()) {
    TALLY_TRY_VOID(check_range("finality", one, static_cast<std::uint32_t>(Finality::kOpen),
                               static_cast<std::uint32_t>(Finality::kUnknown)));
    to.finality.push_back(static_cast<Finality>(one));
  }
  to.known_since_ms = from.known_since_ms();
  return {};
}

// --- check-back ---

void to_wire(const RegisterCheckerRequest& from, pb::RegisterCheckerRequest& to) {
  to.set_group(from.group);
  for (const StoreId& store : from.stores) write_id(store, *to.add_stores());
}

Result<void> from_wire(const pb::RegisterCheckerRequest& from, RegisterCheckerRequest& to) {
  TALLY_TRY_VOID(check_name("group", from.group()));
  TALLY_TRY_VOID(check_range("number of stores", from.stores_size(), 0, limits::kCheckerStoresMax));
  to.group = from.group();
  to.stores.reserve(static_cast<std::size_t>(from.stores_size()));
  for (const std::string& store : from.stores()) {
    TALLY_TRY_VOID(read_id(store, to.stores.emplace_back()));
  }
  return {};
}

void to_wire(const RegisterCheckerResponse&, pb::RegisterCheckerResponse&) {}
Result<void> from_wire(const pb::RegisterCheckerResponse&, RegisterCheckerResponse&) { return {}; }

void to_wire(const CheckRequest& from, pb::CheckRequest& to) {
  to.set_transaction(from.transaction);
  to.set_group(from.group);
  write_id(from.store, *to.mutable_store());
  to_wire(from.handle, *to.mutable_handle());
  to.set_challenge(from.challenge);
  to.set_messages(from.messages);
  to.set_attempt(from.attempt);
  to.set_expires_in_ms(from.expires_in_ms);
}

Result<void> from_wire(const pb::CheckRequest& from, CheckRequest& to) {
  TALLY_TRY_VOID(check_transaction_id(from.transaction()));
  TALLY_TRY_VOID(check_name("group", from.group()));
  TALLY_TRY_VOID(read_id(from.store(), to.store));
  TALLY_TRY_VOID(from_wire(from.handle(), to.handle));
  TALLY_TRY_VOID(check_message_count(from.messages()));
  to.transaction = from.transaction();
  to.group = from.group();
  to.challenge = from.challenge();
  to.messages = from.messages();
  to.attempt = from.attempt();
  to.expires_in_ms = from.expires_in_ms();
  return {};
}

void to_wire(const CheckResponse&, pb::CheckResponse&) {}
Result<void> from_wire(const pb::CheckResponse&, CheckResponse&) { return {}; }

void to_wire(const AnswerCheckRequest& from, pb::AnswerCheckRequest& to) {
  to.set_transaction(from.transaction);
  to.set_challenge(from.challenge);
  to.set_decision(static_cast<std::uint32_t>(from.decision));
  to.set_messages(from.messages);
  to.set_reason(from.reason);
}

Result<void> from_wire(const pb::AnswerCheckRequest& from, AnswerCheckRequest& to) {
  TALLY_TRY_VOID(check_transaction_id(from.transaction()));
  TALLY_TRY_VOID(read_decision(from.decision(), to.decision));
  TALLY_TRY_VOID(check_message_count(from.messages()));
  TALLY_TRY_VOID(check_reason(from.reason()));
  to.transaction = from.transaction();
  to.challenge = from.challenge();
  to.messages = from.messages();
  to.reason = from.reason();
  return {};
}

void to_wire(const AnswerCheckResponse& from, pb::AnswerCheckResponse& to) {
  to_wire(from.result, *to.mutable_result());
}

Result<void> from_wire(const pb::AnswerCheckResponse& from, AnswerCheckResponse& to) {
  return from_wire(from.result(), to.result);
}

}  // namespace tally::wire
