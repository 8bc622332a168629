#include "tests/producer/serving_broker.h"

namespace tally::testing {

namespace {
constexpr std::int64_t kBrokerTimeMs = 1'700'000'000'000;
}

ServingBroker::ServingBroker(Script script) : script_(std::move(script)) {
  thread_ = std::thread([this] { serve(); });
}

ServingBroker::~ServingBroker() {
  broker_.stop_listening();
  thread_.join();
}

void ServingBroker::serve() {
  try {
    while (true) {
      net::ScriptedConnection connection = broker_.accept();
      HelloResponse hello{.window = 1'024};
      hello.log.bytes[0] = 9;
      hello.broker_time_ms = kBrokerTimeMs;
      connection.welcome(hello);
      {
        const std::lock_guard lock(mutex_);
        connection_ = &connection;
      }
      bool open = true;
      while (open) {
        const auto batch = connection.read_batch();
        open = !batch.empty();
        const std::lock_guard lock(mutex_);
        for (const auto& asked : batch) open = open && serve_one(connection, asked);
        if (!open) connection_ = nullptr;
        came_.notify_all();
      }
    }
  } catch (const std::exception&) {
    // stop_listening(), or a client that left: there is nobody to serve.
  }
  const std::lock_guard lock(mutex_);
  connection_ = nullptr;
}

bool ServingBroker::serve_one(net::ScriptedConnection& connection,
                              const net::ScriptedConnection::Asked& asked) {
  if (std::holds_alternative<std::monostate>(asked.request)) return true;  // a receipt
  requests_.push_back(asked.request);
  const Reaction reaction = script_ ? script_(asked.request) : Reaction{};
  if (std::holds_alternative<HangUpBefore>(reaction)) return false;
  if (const auto* error = std::get_if<Error>(&reaction)) {
    connection.refuse(asked, *error);
    return true;
  }
  const Response response = answer_to(asked.request);
  if (std::holds_alternative<HangUpAfter>(reaction)) return false;
  if (std::holds_alternative<std::monostate>(reaction)) connection.answer(asked.id, response);
  return true;
}

Response ServingBroker::answer_to(const Request& request) {
  if (std::holds_alternative<PingRequest>(request)) return PingResponse{kBrokerTimeMs};
  if (std::holds_alternative<RegisterCheckerRequest>(request)) return RegisterCheckerResponse{};
  if (std::holds_alternative<SendRequest>(request)) {
    return SendResponse{Lsn(++last_lsn_), QueueId(0), Offset(last_lsn_ - 1)};
  }
  if (const auto* prepare = std::get_if<PrepareRequest>(&request)) {
    TransactionInfo& info = transactions_[prepare->transaction];
    if (info.id.empty()) {
      info.id = prepare->transaction;
      info.state = TransactionState::kPending;
      info.handle.log.bytes[0] = 9;
      info.handle.lsn = Lsn(++last_lsn_);
      info.handle.time_ms = kBrokerTimeMs;
    }
    const std::int64_t lifetime_ms = prepare->lifetime_ms > 0 ? prepare->lifetime_ms : 86'400'000;
    return PrepareResponse{info.handle, kBrokerTimeMs + 10'000, kBrokerTimeMs + lifetime_ms};
  }
  if (const auto* end = std::get_if<EndRequest>(&request)) {
    TransactionInfo& info = transactions_[end->transaction];
    info.state = end->decision == Decision::kCommit ? TransactionState::kCommitted
                                                    : TransactionState::kRolledBack;
    return EndResponse{{info.state, Decider::kProducer, kBrokerTimeMs}, false};
  }
  if (const auto* show = std::get_if<ShowTransactionRequest>(&request)) {
    TransactionInfo info = transactions_[show->transaction];
    if (info.state == TransactionState{}) info.state = TransactionState::kPending;
    return ShowTransactionResponse{info};
  }
  if (const auto* find = std::get_if<FindFinalRequest>(&request)) {
    FindFinalResponse response;
    for (const std::string& id : find->transactions) {
      const TransactionState state = transactions_[id].state;
      const bool decided =
          state == TransactionState::kCommitted || state == TransactionState::kRolledBack;
      response.finality.push_back(decided ? Finality::kFinal : Finality::kOpen);
    }
    return response;
  }
  return AnswerCheckResponse{{TransactionState::kPending, Decider::kNone, 0}};
}

void ServingBroker::set_state(const std::string& transaction, TransactionState state) {
  const std::lock_guard lock(mutex_);
  transactions_[transaction].state = state;
}

Handle ServingBroker::handle_of(const std::string& transaction) {
  const std::lock_guard lock(mutex_);
  return transactions_[transaction].handle;
}

void ServingBroker::ask_check(CheckRequest check) {
  std::unique_lock lock(mutex_);
  came_.wait_for(lock, std::chrono::seconds(20), [this] { return connection_ != nullptr; });
  if (connection_ != nullptr) connection_->ask(RequestId(check.challenge), check);
}

}  // namespace tally::testing
