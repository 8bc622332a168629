#include <exception>
#include <system_error>

#include "producer-sdk/producer_engine.h"
#include "protocol/base/clock.h"
#include "protocol/base/names.h"

namespace tally {
namespace {

constexpr std::int64_t kDestructorMs = 2'000;

/// A moment of the monotonic clock as a moment of the wall clock, as it stands now.
std::int64_t to_wall_ms(std::int64_t boot_ms) {
  return system_clock().wall_ms() + (boot_ms - system_clock().boot_ms());
}

/// By the clock that never steps; a database compares its own, which may.
bool is_over(std::int64_t deadline_ms) { return system_clock().boot_ms() >= deadline_ms; }

LocalOutcome lifetime_over() {
  return {.kind = LocalOutcome::Kind::kRolledBack,
          .cause = Error(ErrorCode::kDeadlineExceeded, "the transaction's lifetime is over")};
}

LocalOutcome run_on_database(DatabaseAdapter& db, const LocalWork& work, bool id_of_caller,
                             const std::string& id, const Handle& handle,
                             std::int64_t deadline_ms) {
  LocalOutcome outcome =
      is_over(deadline_ms) ? lifetime_over() : db.run(id, handle, to_wall_ms(deadline_ms), work);
  const bool alone = !id_of_caller || outcome.other_half;
  if (outcome.kind != LocalOutcome::Kind::kRolledBack || alone) return outcome;
  // Work under the same id may run elsewhere and commit yet. Rollback is told only when a tombstone shuts that out.
  const CheckVerdict verdict = db.check(id, handle);
  switch (verdict.decision) {
    case Decision::kCommit:
      return {.kind = LocalOutcome::Kind::kAlreadyCommitted};
    case Decision::kRollback:
      return outcome;
    case Decision::kUnknown:
      break;
  }
  return {.kind = LocalOutcome::Kind::kUnknown,
          .cause = Error(ErrorCode::kDatabaseOutcomeUnknown, verdict.reason)};
}

LocalOutcome run_listener(TransactionListener& listener, const TransactionListener::Call& call,
                          std::int64_t deadline_ms) {
  if (is_over(deadline_ms)) return lifetime_over();
  std::string reason = "execute() said unknown";
  try {
    switch (listener.execute(call)) {
      case Decision::kCommit:
        return {.kind = LocalOutcome::Kind::kCommitted};
      case Decision::kRollback:
        return {.kind = LocalOutcome::Kind::kRolledBack};
      case Decision::kUnknown:
        break;
    }
  } catch (const std::exception& exception) {
    reason = std::string("execute() threw: ") + exception.what();
  } catch (...) {
    reason = "execute() threw";
  }
  return {.kind = LocalOutcome::Kind::kUnknown,
          .cause = Error(ErrorCode::kHandlerFailed, std::move(reason))};
}

}  // namespace

Result<Producer> Producer::connect(ProducerOptions options) {
  TALLY_TRY_VOID(check_name("group", options.group));
  if (options.timeout.count() <= 0) {
    return Error(ErrorCode::kInvalidArgument, "timeout must be greater than 0");
  }
  try {
    auto engine = std::make_shared<Engine>(std::move(options));
    TALLY_TRY_VOID(engine->start());
    return Producer(std::move(engine));
  } catch (const std::system_error& no_thread) {
    return Error(ErrorCode::kOverloaded, no_thread.what());
  }
}

Producer::Producer(std::shared_ptr<Engine> engine) : engine_(std::move(engine)) {}
Producer::Producer(Producer&&) noexcept = default;

Producer& Producer::operator=(Producer&& other) noexcept {
  std::swap(engine_, other.engine_);  // `other` ends what this one was
  return *this;
}

Producer::~Producer() {
  if (engine_) engine_->end(kDestructorMs);
}

Result<void> Producer::attach_adapter(std::shared_ptr<DatabaseAdapter> adapter) {
  return engine_->attach(std::move(adapter));
}

void Producer::send_async(const Message& message,
                          std::function<void(Result<SendReceipt>&&)> callback) {
  engine_->send(message, std::move(callback));
}

std::future<Result<SendReceipt>> Producer::send_async(const Message& message) {
  auto promise = std::make_shared<std::promise<Result<SendReceipt>>>();
  auto receipt = promise->get_future();
  engine_->send(message,
                [promise](Result<SendReceipt>&& result) { promise->set_value(std::move(result)); });
  return receipt;
}

Result<SendReceipt> Producer::send(const Message& message) {
  if (engine_->on_network_thread()) {
    return Error(ErrorCode::kInvalidArgument,
                 "a callback must not wait for the thread that runs it");
  }
  return send_async(message).get();
}

Result<TransactionResult> Producer::run_in_transaction(DatabaseAdapter& db,
                                                       const std::vector<Message>& messages,
                                                       const LocalWork& work,
                                                       const TransactionOptions& options) {
  TALLY_TRY_VOID(engine_->check_attached(db));
  return engine_->in_transaction(
      db.store_id(), messages, options,
      [&](const std::string& id, const Handle& handle, std::int64_t deadline_ms) {
        return run_on_database(db, work, !options.id.empty(), id, handle, deadline_ms);
      });
}

Result<TransactionResult> Producer::in_transaction(const std::vector<Message>& messages,
                                                   const std::any& argument,
                                                   const TransactionOptions& options) {
  TransactionListener* listener = engine_->listener();
  if (listener == nullptr) {
    return Error(ErrorCode::kInvalidArgument,
                 "this producer has no listener: give it one, or"
                 " a database");
  }
  return engine_->in_transaction(
      StoreId{}, messages, options,
      [&](const std::string& id, const Handle&, std::int64_t deadline_ms) {
        const TransactionListener::Call call{id, messages, argument, to_wall_ms(deadline_ms)};
        return run_listener(*listener, call, deadline_ms);
      });
}

Result<TransactionResult> Producer::wait(std::string_view id, std::chrono::milliseconds timeout) {
  return engine_->wait(id, timeout.count());
}

Result<void> Producer::stop(std::chrono::milliseconds deadline) {
  if (engine_->on_network_thread()) {
    return Error(ErrorCode::kInvalidArgument,
                 "a callback must not wait for the thread that runs it");
  }
  return engine_->stop(deadline.count());
}

}  // namespace tally
