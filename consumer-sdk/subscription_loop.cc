#include "consumer-sdk/subscription_loop.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "protocol/base/clock.h"

namespace tally {
namespace {

std::int64_t now_ms() { return system_clock().boot_ms(); }

}  // namespace

void tell(const LogCallback& log, LogLevel level, std::string_view text) {
  if (!log) return;
  try {
    log(level, text);
  } catch (...) {  // there is nobody left to tell
  }
}

HandlerResult to_result(const Settlement& settlement) {
  switch (settlement.kind()) {
    case Settlement::Kind::kAck:
      return {SettleAction::kAck, -1};
    case Settlement::Kind::kDeadLetter:
      return {SettleAction::kDeadLetter, -1};
    case Settlement::Kind::kRetry:
      break;
  }
  if (!settlement.after()) return {SettleAction::kNack, -1};
  const std::int64_t after_ms = settlement.after()->count();
  return {SettleAction::kNack, std::clamp<std::int64_t>(after_ms, 0, limits::kNackDelayMsMax)};
}

net::ClientOptions client_options(const ConsumerOptions& options) {
  net::ClientOptions client;
  client.broker = options.broker;
  client.hello.client = options.client.empty() ? options.group : options.client;
  client.hello.software = "tally-consumer 0.1";
  return client;
}

Subscription::Loop::Loop(ConsumerCoreOptions options, LogCallback log)
    : topic_(options.topic), log_(std::move(log)), core_(std::move(options)) {}

Result<void> Subscription::Loop::start(net::ClientOptions client, Handler handler,
                                       HandlerPool::Executor executor, std::uint32_t threads) {
  // Weak: a handler that ends its own subscription outlives it.
  std::weak_ptr<Loop> self = weak_from_this();
  auto run = [self, handler = std::move(handler)](HandlerCall& call) {
    const auto loop = self.lock();
    return loop ? loop->handle(handler, call) : HandlerResult{SettleAction::kNack, 0};
  };
  auto wake = [self] {
    if (const auto loop = self.lock()) loop->post([raw = loop.get()] { raw->collect(); });
  };
  pool_ = HandlerPool::start(threads, std::move(executor), std::move(run), std::move(wake));

  net::Client::Callbacks callbacks;
  callbacks.on_connected = [this](const HelloResponse& hello) { connected(hello); };
  callbacks.on_disconnected = [this](const Error& error) { disconnected(error); };
  const std::lock_guard lock(mutex_);  // the first callback finds the client in its place
  auto started = net::Client::start(std::move(client), std::move(callbacks));
  if (!started) {
    pool_->finish();
    pool_->join();
    return std::move(started).error();
  }
  client_ = *std::move(started);
  return {};
}

HandlerResult Subscription::Loop::handle(const Handler& handler, HandlerCall& call) const {
  const auto failed = [&](const char* what) {
    tell(log_, LogLevel::kError, "the handler failed on " + call.id.to_string() + ": " + what);
    return HandlerResult{SettleAction::kNack, -1};
  };
  try {
    const Position& position = call.key.position;
    const Delivery delivery(to_message(call.block, topic_), call.id, position.queue,
                            position.offset, call.attempt);
    call.block = {};  // the answer that it came in need not wait for a slow handler
    call.bytes.reset();
    return to_result(handler(delivery));
  } catch (const std::exception& exception) {
    return failed(exception.what());
  } catch (...) {
    return failed("an exception of unknown type");
  }
}

void Subscription::Loop::post(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  if (client_ != nullptr) client_->post(std::move(task));
}

void Subscription::Loop::connected(const HelloResponse& hello) {
  told_loss_ = false;
  core_.connected(now_ms(), hello.log);
  pump();
}

void Subscription::Loop::disconnected(const Error& error) {
  if (!std::exchange(told_loss_, true)) {  // once per loss, not once per attempt
    tell(log_, LogLevel::kWarning, "subscription to " + topic_ + ": " + to_string(error));
  }
  core_.disconnected(pool_->take_back());
  pump();
}

void Subscription::Loop::collect() {
  pool_->take_finished(finished_);
  const std::int64_t now = now_ms();
  core_.finished(now, finished_);
  pump();
}

void Subscription::Loop::pump() {
  core_.take_actions(actions_);
  for (const ConsumerCore::LogLine& line : actions_.log) tell(log_, line.level, line.text);
  pool_->push(actions_.calls);
  for (ConsumerCore::Ask& ask : actions_.asks) this->ask(ask);
  if (core_.drained()) {
    const std::lock_guard lock(mutex_);
    drained_ = true;
    drained_changed_.notify_all();
  }
  arm_tick();
}

void Subscription::Loop::ask(ConsumerCore::Ask& ask) {
  const std::lock_guard lock(mutex_);
  if (client_ == nullptr) return;
  client_->ask(std::move(ask.request), {}, ask.timeout_ms,
               [this, id = ask.id](Result<net::Answer>&& result) {
                 if (result) {
                   core_.answered(now_ms(), id, std::move(result->response), result->payload);
                 } else {
                   core_.answered(now_ms(), id, std::move(result).error(), {});
                 }
                 pump();
               });
}

void Subscription::Loop::arm_tick() {
  const std::int64_t next = core_.next_tick_ms();
  if (next >= armed_ms_) return;
  armed_ms_ = next;
  const std::lock_guard lock(mutex_);
  if (client_ == nullptr) return;
  client_->post_after(std::max<std::int64_t>(next - now_ms(), 0), [this, next] {
    if (armed_ms_ == next) armed_ms_ = ConsumerCore::kNever;
    core_.tick(now_ms());
    pump();
  });
}

void Subscription::Loop::begin_stop() {
  pool_->finish();
  post([this] {
    core_.stop(now_ms(), pool_->take_back());
    pump();
  });
}

bool Subscription::Loop::wait_drained(std::int64_t timeout_ms) {
  std::unique_lock lock(mutex_);
  return drained_changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                                   [this] { return drained_ || client_ == nullptr; });
}

Result<void> Subscription::Loop::stop(std::int64_t timeout_ms) {
  const std::int64_t deadline_ms = now_ms() + timeout_ms;
  begin_stop();
  if (pool_->on_worker()) {
    return Error(ErrorCode::kInvalidArgument, "a handler cannot wait for its own end");
  }
  if (!pool_->wait_idle(std::max<std::int64_t>(timeout_ms, 0))) {
    return Error(ErrorCode::kTimeout, "a handler of " + topic_ + " still runs");
  }
  pool_->join();
  if (!wait_drained(std::max<std::int64_t>(deadline_ms - now_ms(), 0))) {
    return Error(ErrorCode::kTimeout, "the broker has not answered the settlements");
  }
  close();
  return {};
}

void Subscription::Loop::end(std::int64_t timeout_ms) {
  begin_stop();
  if (!pool_->on_worker()) {
    pool_->wait_idle(-1);
    wait_drained(timeout_ms);
  }
  pool_->join();
  close();
}

void Subscription::Loop::close() {
  std::unique_ptr<net::Client> closing;
  {
    const std::lock_guard lock(mutex_);
    closing.swap(client_);
    drained_changed_.notify_all();
  }
  closing.reset();  // outside of the lock: it waits for callbacks, which may want it
}

Subscription::Subscription(std::shared_ptr<Loop> loop) : loop_(std::move(loop)) {}
Subscription::Subscription(Subscription&&) noexcept = default;

Subscription& Subscription::operator=(Subscription&& other) noexcept {
  std::swap(loop_, other.loop_);
  return *this;
}

Subscription::~Subscription() {
  if (loop_) loop_->end(kDestructorMs);
}

Result<void> Subscription::stop(std::chrono::milliseconds deadline) {
  if (!loop_) return {};
  return loop_->stop(deadline.count());
}

}  // namespace tally
