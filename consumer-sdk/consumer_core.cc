#include "consumer-sdk/consumer_core.h"

#include <algorithm>
#include <utility>

#include "protocol/base/check.h"

namespace tally {
namespace {

bool names_connection_loss(ErrorCode code) {
  return code == ErrorCode::kDisconnected || code == ErrorCode::kUnreachable ||
         code == ErrorCode::kTimeout;
}

/// The next back-off: twice the last one, within bounds.
std::int64_t longer(std::int64_t backoff_ms) {
  return std::clamp(2 * backoff_ms, ConsumerCore::kBackoffMs, ConsumerCore::kBackoffMsMax);
}

template <typename Answer>
const Answer* answer_in(const Result<Response>& result) {
  return result ? std::get_if<Answer>(&*result) : nullptr;
}

Error error_in(const Result<Response>& result) {
  return result ? Error(ErrorCode::kInternal, "the answer does not fit the request")
                : result.error();
}

}  // namespace

ConsumerCore::ConsumerCore(ConsumerCoreOptions options) : options_(std::move(options)) {
  lease_ms_ = options_.lease_ms > 0 ? options_.lease_ms : limits::kLeaseMs;
}

void ConsumerCore::connected(std::int64_t now_ms, LogId log) {
  if (!log_id_.is_zero() && log_id_ != log) {
    this->log(LogLevel::kWarning,
              "the broker has another log now; deliveries of " + log_id_.to_hex() + " are dropped");
    drop_all();
  }
  log_id_ = log;
  connected_ = true;
  receive_after_ms_ = receive_backoff_ms_ = 0;
  settle_after_ms_ = settle_backoff_ms_ = 0;
  work(now_ms);
}

void ConsumerCore::drop_all() {
  held_.clear();
  out_bytes_ = 0;
  settles_.clear();
  settling_.clear();
  settle_ask_ = 0;
}

void ConsumerCore::disconnected(const std::vector<RunKey>& not_begun) {
  connected_ = false;
  forget(not_begun);
  for (auto& [position, held] : held_) held.leased = false;
  extensions_.clear();
  extend_at_ms_ = kNever;
}

void ConsumerCore::forget(const std::vector<RunKey>& not_begun) {
  for (const RunKey& key : not_begun) {
    if (end_run(key) != nullptr) held_.erase(key.position);
  }
}

void ConsumerCore::answered(std::int64_t now_ms, std::uint64_t ask, Result<Response>&& result,
                            std::string_view payload) {
  const auto receive = std::ranges::find(receives_, ask, &Receive::ask);
  const auto extension = std::ranges::find(extensions_, ask, &Extension::ask);
  if (ask == settle_ask_) {
    settle_answered(now_ms, result);
  } else if (receive != receives_.end()) {
    receives_.erase(receive);
    if (const auto* response = answer_in<ReceiveResponse>(result)) {
      receive_backoff_ms_ = 0;
      receive_error_ = ErrorCode::kOk;
      take_deliveries(now_ms, *response, payload);
    } else {
      receive_failed(now_ms, error_in(result));
    }
  } else if (extension != extensions_.end()) {
    const std::vector<LeaseItem> items = std::move(extension->items);
    extensions_.erase(extension);
    extend_answered(items, result);
  }
  work(now_ms);
}

void ConsumerCore::take_deliveries(std::int64_t now_ms, const ReceiveResponse& response,
                                   std::string_view payload) {
  if (response.deliveries.empty()) {
    receive_after_ms_ = now_ms + kBackoffMs;  // a broker that shuts down answers at once
    return;
  }
  if (response.lease_ms > 0) lease_ms_ = response.lease_ms;
  const auto bytes = std::make_shared<const std::string>(payload);
  std::string_view left = *bytes;
  for (const DeliveryHeader& header : response.deliveries) {
    if (header.block_bytes > left.size()) {
      left = {};
      take_delivery(now_ms, header, Error(ErrorCode::kBadMessageBlock, "the block is cut off"),
                    bytes);
      continue;
    }
    take_delivery(now_ms, header, MessageBlock::parse(left.substr(0, header.block_bytes)), bytes);
    left.remove_prefix(header.block_bytes);
  }
}

void ConsumerCore::take_delivery(std::int64_t now_ms, const DeliveryHeader& header,
                                 const Result<MessageBlock>& block,
                                 const std::shared_ptr<const std::string>& bytes) {
  const Position position{header.queue, header.offset};
  const auto known = held_.find(position);
  if (known != held_.end() && adopt(now_ms, known->second, header)) return;
  if (phase_ == Phase::kStopping) return;

  Held& held = held_[position] = Held{};
  held.attempt = header.attempt;
  const MessageUid id{log_id_, header.lsn};
  if (!block) {
    log(LogLevel::kError,
        "message " + id.to_string() + " is not delivered: " + to_string(block.error()));
    settle(position, held, {SettleAction::kNack, -1});
    return;
  }
  held.run = ++runs_;
  held.bytes = header.block_bytes;
  held.state = State::kHandled;
  hold_lease(now_ms, held);
  ++out_;
  out_bytes_ += held.bytes;
  actions_.calls.push_back({{position, held.run}, id, header.attempt, *block, bytes});
}

bool ConsumerCore::adopt(std::int64_t now_ms, Held& held, const DeliveryHeader& header) {
  switch (held.state) {
    case State::kHandled:  // the running handler's result settles the new grant
      held.attempt = header.attempt;
      hold_lease(now_ms, held);
      return true;
    case State::kSettling:
      if (held.attempt == header.attempt) return true;
      // A nack that took effect brings the message back: that is for a handler.
      if (held.result.action == SettleAction::kNack) return false;
      held.attempt = header.attempt;
      settle({header.queue, header.offset}, held, held.result);
      return true;
  }
  return false;
}

void ConsumerCore::hold_lease(std::int64_t now_ms, Held& held) {
  held.leased = true;
  held.extend_at_ms = now_ms + lease_ms_ / 3;
  extend_at_ms_ = std::min(extend_at_ms_, held.extend_at_ms);
}

ConsumerCore::Held* ConsumerCore::end_run(const RunKey& key) {
  TALLY_CHECK(out_ > 0);
  --out_;
  const auto entry = held_.find(key.position);
  if (entry == held_.end() || entry->second.run != key.run) return nullptr;
  out_bytes_ -= entry->second.bytes;
  return &entry->second;
}

void ConsumerCore::finished(std::int64_t now_ms, std::span<const FinishedRun> runs) {
  for (const FinishedRun& run : runs) {
    Held* held = end_run(run.key);
    if (held != nullptr) settle(run.key.position, *held, run.result);
  }
  work(now_ms);
}

void ConsumerCore::settle(const Position& position, Held& held, const HandlerResult& result) {
  held.state = State::kSettling;
  held.result = result;
  settles_.push_back(
      {position.queue, position.offset, held.attempt, result.action, result.delay_ms});
}

void ConsumerCore::settle_answered(std::int64_t now_ms, const Result<Response>& result) {
  settle_ask_ = 0;
  const auto* response = answer_in<SettleResponse>(result);
  if (response != nullptr && response->results.size() == settling_.size()) {
    settle_backoff_ms_ = 0;
    for (std::size_t i = 0; i < settling_.size(); ++i) {
      if (response->results[i] != ErrorCode::kOk) {
        log(LogLevel::kInfo, "settling offset " + std::to_string(settling_[i].offset.value) +
                                 " of queue " + std::to_string(settling_[i].queue.value) + ": " +
                                 std::string(name(response->results[i])));
      }
      settle_ended(settling_[i]);
    }
  } else if (const Error error = error_in(result); retryable(error.code)) {
    settles_.insert(settles_.begin(), settling_.begin(), settling_.end());
    settle_backoff_ms_ = longer(settle_backoff_ms_);
    settle_after_ms_ = now_ms + settle_backoff_ms_;
    if (!names_connection_loss(error.code)) {
      log(LogLevel::kWarning, "settling is repeated: " + to_string(error));
    }
  } else {
    log(LogLevel::kError, "settling failed, the messages come again: " + to_string(error));
    for (const SettleItem& item : settling_) settle_ended(item);
  }
  settling_.clear();
}

void ConsumerCore::settle_ended(const SettleItem& item) {
  const auto entry = held_.find({item.queue, item.offset});
  if (entry != held_.end() && entry->second.state == State::kSettling &&
      entry->second.attempt == item.attempt) {
    held_.erase(entry);
  }
}

void ConsumerCore::receive_failed(std::int64_t now_ms, const Error& error) {
  receive_backoff_ms_ = longer(receive_backoff_ms_);
  receive_after_ms_ = now_ms + receive_backoff_ms_;
  if (error.code == receive_error_ || names_connection_loss(error.code)) return;
  receive_error_ = error.code;  // reported once, however often it comes back
  log(LogLevel::kWarning, "receiving from " + options_.topic + ": " + to_string(error));
}

void ConsumerCore::extend_answered(const std::vector<LeaseItem>& items,
                                   const Result<Response>& result) {
  const auto* response = answer_in<ExtendLeaseResponse>(result);
  if (response == nullptr || response->results.size() != items.size()) {
    const Error error = error_in(result);
    if (names_connection_loss(error.code)) return;
    log(LogLevel::kWarning, "extending leases, tried again: " + to_string(error));
    return;
  }
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (response->results[i] == ErrorCode::kOk) continue;
    const auto entry = held_.find({items[i].queue, items[i].offset});
    if (entry == held_.end() || entry->second.attempt != items[i].attempt) continue;
    entry->second.leased = false;
    if (entry->second.state != State::kHandled) continue;
    log(LogLevel::kWarning, "the lease of offset " + std::to_string(items[i].offset.value) +
                                " of queue " + std::to_string(items[i].queue.value) +
                                " is lost; the message may be handled again");
  }
}

void ConsumerCore::tick(std::int64_t now_ms) { work(now_ms); }

std::int64_t ConsumerCore::next_tick_ms() const {
  if (!connected_) return kNever;
  std::int64_t next = extend_at_ms_;
  if (receive_after_ms_ != 0 && phase_ == Phase::kRunning) next = std::min(next, receive_after_ms_);
  if (settle_after_ms_ != 0 && !settles_.empty()) next = std::min(next, settle_after_ms_);
  return next;
}

void ConsumerCore::stop(std::int64_t now_ms, const std::vector<RunKey>& not_begun) {
  phase_ = Phase::kStopping;
  forget(not_begun);
  work(now_ms);
}

bool ConsumerCore::drained() const {
  return phase_ == Phase::kStopping && out_ == 0 && settles_.empty() && settle_ask_ == 0;
}

void ConsumerCore::take_actions(Actions& out) {
  out.clear();
  std::swap(out, actions_);
}

void ConsumerCore::work(std::int64_t now_ms) {
  if (!connected_) return;
  send_settles(now_ms);
  send_receives(now_ms);
  extend_leases(now_ms);
}

void ConsumerCore::send_settles(std::int64_t now_ms) {
  if (now_ms < settle_after_ms_) return;
  settle_after_ms_ = 0;
  if (settle_ask_ != 0 || settles_.empty()) return;
  if (settles_.size() <= limits::kSettleItemsMax) {
    settling_.swap(settles_);
  } else {
    const auto end = settles_.begin() + limits::kSettleItemsMax;
    settling_.assign(settles_.begin(), end);
    settles_.erase(settles_.begin(), end);
  }
  settle_ask_ = ask(SettleRequest{options_.topic, options_.group, settling_}, kAnswerMs);
}

void ConsumerCore::send_receives(std::int64_t now_ms) {
  if (now_ms < receive_after_ms_) return;
  receive_after_ms_ = 0;
  if (phase_ != Phase::kRunning || receives_.size() >= kReceivesInFlight) return;
  if (settles_.size() + settling_.size() >= kSettlesWaitingMax) return;

  // Ask for more when half of the waiting messages have found their handler: so answers come in batches.
  const std::uint32_t waiting = out_ > options_.parallelism ? out_ - options_.parallelism : 0;
  if (2 * waiting > options_.prefetch) return;
  if (waiting > 0 && out_bytes_ >= kWaitingBytesMax) return;

  std::uint32_t spoken_for = out_;
  for (const Receive& receive : receives_) spoken_for += receive.messages_max;
  const std::uint32_t capacity = options_.parallelism + options_.prefetch;
  if (spoken_for >= capacity) return;
  const std::uint32_t free = std::min(capacity - spoken_for, limits::kReceiveMessagesMax);
  if (!receives_.empty() && 2 * free < capacity) return;

  ReceiveRequest request{options_.topic, options_.group,   free, 0,
                         kReceiveWaitMs, options_.lease_ms};
  receives_.push_back({ask(std::move(request), kReceiveWaitMs + kAnswerMs), free});
}

void ConsumerCore::extend_leases(std::int64_t now_ms) {
  if (now_ms < extend_at_ms_) return;
  extend_at_ms_ = kNever;
  std::vector<LeaseItem> items;
  const auto send = [&] {
    ExtendLeaseRequest request{options_.topic, options_.group, options_.lease_ms, items};
    const std::uint64_t id = ask(std::move(request), std::max<std::int64_t>(lease_ms_ / 3, 1));
    extensions_.push_back({id, std::exchange(items, {})});
  };
  for (auto& [position, held] : held_) {
    if (!held.leased) continue;
    // Those that are due a little later go along, so that one request serves many.
    if (held.extend_at_ms <= now_ms + lease_ms_ / 6) {
      held.extend_at_ms = now_ms + lease_ms_ / 3;
      items.push_back({position.queue, position.offset, held.attempt});
      if (items.size() == limits::kSettleItemsMax) send();
    }
    extend_at_ms_ = std::min(extend_at_ms_, held.extend_at_ms);
  }
  if (!items.empty()) send();
}

std::uint64_t ConsumerCore::ask(Request request, std::int64_t timeout_ms) {
  actions_.asks.push_back({++asks_, std::move(request), timeout_ms});
  return asks_;
}

void ConsumerCore::log(LogLevel level, std::string text) {
  actions_.log.push_back({level, std::move(text)});
}

}  // namespace tally
