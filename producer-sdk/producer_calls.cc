// What the threads of callers do: sends, in_transaction() and wait().

#include <algorithm>
#include <chrono>
#include <exception>

#include "producer-sdk/producer_engine.h"
#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/base/message_block.h"
#include "protocol/base/names.h"
#include "protocol/base/random.h"

namespace tally {
namespace {

constexpr std::size_t kSendsMax = 65'536;
constexpr std::size_t kSendBytesMax = 32u << 20;
constexpr std::int64_t kAskAgainMsMin = 50;
constexpr std::int64_t kAskAgainMsMax = 1'000;

std::int64_t now_ms() { return system_clock().boot_ms(); }

Error stopped() { return {ErrorCode::kClosed, "the producer was stopped"}; }

Error inside_callback() {
  return {ErrorCode::kInvalidArgument, "a callback must not wait for the thread that runs it"};
}

}  // namespace

void Producer::Engine::send(const Message& message, Sends::Callback callback) {
  if (auto named = check_name("topic", message.topic); !named) {
    return tell(callback, std::move(named).error());
  }
  std::string block;
  if (auto made = append_message_block(message, system_clock().wall_ms(), block); !made) {
    return tell(callback, std::move(made).error());
  }
  if (stopping_) return tell(callback, stopped());
  const std::size_t bytes = block.size();
  // Counted before it is handed over, so that stop() waits for it.
  const bool too_many = ++sends_open_ > kSendsMax;
  if ((send_bytes_ += bytes) > kSendBytesMax || too_many) {
    end_send(bytes);
    return tell(callback, Error(ErrorCode::kOverloaded, "too many sends are open"));
  }
  Sends::New fresh{message.topic, std::move(block), now_ms() + options_.timeout.count(),
                   std::move(callback)};
  if (hand_over([&](HandedOver& to) { to.sends.push_back(std::move(fresh)); })) return;
  end_send(bytes);
  tell(fresh.callback, stopped());
}

void Producer::Engine::end_send(std::size_t bytes) {
  send_bytes_ -= bytes;
  if (--sends_open_ > 0) return;
  const std::lock_guard lock(mutex_);
  if (stopping_) progress_.notify_all();
}

void Producer::Engine::tell(const Sends::Callback& callback, Result<SendReceipt>&& result) const {
  try {
    callback(std::move(result));
  } catch (const std::exception& exception) {
    log(LogLevel::kError, std::string("the callback of a send threw: ") + exception.what());
  } catch (...) {
    log(LogLevel::kError, "the callback of a send threw");
  }
}

Result<BeginTransaction> Producer::Engine::make_begin(StoreId store,
                                                      const std::vector<Message>& messages,
                                                      const TransactionOptions& options) const {
  BeginTransaction begin;
  const std::int64_t wall_ms = system_clock().wall_ms();
  begin.id_of_caller = !options.id.empty();
  begin.id = begin.id_of_caller ? options.id : make_transaction_id(wall_ms);
  TALLY_TRY_VOID(check_transaction_id(begin.id));
  begin.store = store;
  begin.timeout_ms = (options.timeout.count() > 0 ? options.timeout : options_.timeout).count();
  begin.first_check_ms = options.first_check.count();
  begin.lifetime_ms = options.lifetime.count();
  if (messages.empty()) return Error(ErrorCode::kInvalidArgument, "a transaction needs a message");
  if (messages.size() > limits::kTransactionMessagesMax) {
    return Error(ErrorCode::kTransactionTooLarge,
                 std::to_string(messages.size()) + " messages in one transaction");
  }
  std::size_t bytes = 0;
  for (const Message& message : messages) {
    TALLY_TRY_VOID(check_name("topic", message.topic));
    BeginTransaction::Half& half = begin.halves.emplace_back();
    half.topic = message.topic;
    TALLY_TRY_VOID(append_message_block(message, wall_ms, half.block));
    bytes += half.block.size();
  }
  if (bytes > limits::kTransactionBytesMax) {
    return Error(ErrorCode::kTransactionTooLarge,
                 std::to_string(bytes) + " bytes in one transaction");
  }
  return begin;
}

Result<TransactionResult> Producer::Engine::in_transaction(StoreId store,
                                                           const std::vector<Message>& messages,
                                                           const TransactionOptions& options,
                                                           const Run& run) {
  if (on_network_thread()) return inside_callback();
  TALLY_TRY(BeginTransaction begin, make_begin(store, messages, options));
  const std::string id = begin.id;
  const TransactionKey key(++last_key_);
  auto promise = std::make_shared<std::promise<Turn>>();
  auto turn = promise->get_future();
  if (stopping_) return stopped();
  const bool open = submit([this, key, promise, begin = std::move(begin)]() mutable {
    turns_.emplace(key, std::move(promise));
    core_.begin(now_ms(), key, std::move(begin));
    pump();
  });
  if (!open) return stopped();
  const Turn mine = turn.get();
  if (const auto* refused = std::get_if<Result<TransactionResult>>(&mine)) return *refused;

  const auto& go = *std::get_if<action::RunLocal>(&mine);
  const LocalOutcome outcome = run(id, go.handle, go.deadline_ms);
  // After the end nobody takes it any more; the check-back decides then.
  submit([this, key, outcome] {
    core_.local_finished(now_ms(), key, outcome);
    pump();
  });
  return ProducerCore::result_of(id, outcome);
}

Result<TransactionResult> Producer::Engine::wait(std::string_view id, std::int64_t timeout_ms) {
  if (on_network_thread()) return inside_callback();
  const std::int64_t until_ms = now_ms() + timeout_ms;
  const WaiterKey key(++last_key_);
  auto waiting = std::make_shared<std::promise<Result<TransactionResult>>>();
  auto settled = waiting->get_future();
  auto known = std::make_shared<std::promise<bool>>();
  auto is_known = known->get_future();
  const bool open = submit([this, key, waiting, known, id = std::string(id)] {
    const bool here = core_.wait(id, key);
    if (here) waiters_.emplace(key, waiting);
    known->set_value(here);
  });
  if (!open) return stopped();
  if (!is_known.get()) return wait_for_broker(id, until_ms);
  const auto left = std::chrono::milliseconds(std::max<std::int64_t>(until_ms - now_ms(), 0));
  if (settled.wait_for(left) == std::future_status::ready) return settled.get();
  submit([this, key] {
    core_.stop_waiting(key);
    waiters_.erase(key);
  });
  return Error(ErrorCode::kTimeout, "the broker has not confirmed the end of " + std::string(id));
}

Result<TransactionResult> Producer::Engine::wait_for_broker(std::string_view id,
                                                            std::int64_t until_ms) {
  std::int64_t pause_ms = kAskAgainMsMin;
  while (true) {
    auto promise = std::make_shared<std::promise<Result<TransactionState>>>();
    auto answer = promise->get_future();
    const std::int64_t left_ms = std::max<std::int64_t>(until_ms - now_ms(), 1);
    {
      const std::shared_lock lock(client_mutex_);
      if (!client_) return stopped();
      client_->ask(ShowTransactionRequest{std::string(id)}, {}, left_ms,
                   [promise](Result<net::Answer>&& result) {
                     if (!result) return promise->set_value(std::move(result).error());
                     const auto* shown = std::get_if<ShowTransactionResponse>(&result->response);
                     promise->set_value(shown == nullptr ? TransactionState::kPending
                                                         : shown->transaction.state);
                   });
    }
    const Result<TransactionState> state = answer.get();
    if (!state && !retryable(state.error().code)) return state.error();
    if (state && *state == TransactionState::kCommitted) {
      return TransactionResult{.id = std::string(id), .outcome = TransactionOutcome::kCommitted};
    }
    if (state && *state == TransactionState::kRolledBack) {
      return TransactionResult{.id = std::string(id), .outcome = TransactionOutcome::kRolledBack};
    }
    if (now_ms() + pause_ms >= until_ms) {
      return Error(ErrorCode::kTimeout, "transaction " + std::string(id) + " is not decided");
    }
    std::unique_lock lock(mutex_);
    progress_.wait_for(lock, std::chrono::milliseconds(pause_ms),
                       [this] { return stopping_.load(); });
    if (stopping_) return stopped();
    pause_ms = std::min(pause_ms * 2, kAskAgainMsMax);
  }
}

}  // namespace tally
