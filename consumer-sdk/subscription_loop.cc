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

Subscription::Loop::Loop(net::Client& client, ConsumerCoreOptions options, LogCallback log)
    : topic_(options.topic), log_(std::move(log)), client_(&client), core_(std::move(options)) {}

void Subscription::Loop::start(Handler handler, HandlerPool::Executor executor,
                               std::uint32_t threads) {
  // Weak: workers own the pool, and a handler may outlive the subscription.
  std::weak_ptr<Loop> self = weak_from_this();
  auto run = [this_loop = self, handler = std::move(handler)](const HandlerCall& call) {
    const auto loop = this_loop.lock();
    return loop ? loop->handle(handler, call) : HandlerResult{SettleAction::kNack, 0};
  };
  auto wake = [self] {
    if (const auto loop = self.lock()) loop->post([loop] { loop->collect(); });
  };
  pool_ = HandlerPool::start(threads, std::move(executor), std::move(run), std::move(wake));
}

HandlerResult Subscription::Loop::handle(const Handler& handler, const HandlerCall& call) const {
  const auto failed = [&](const char* what) {
    tell(log_, LogLevel::kError, "the handler failed on " + call.id.to_string() + ": " + what);
    return HandlerResult{SettleAction::kNack, -1};
  };
  try {
    return to_result(
        handler(Delivery(to_message(call.block, topic_), call.id, call.key.position.queue,
                         call.key.position.offset, call.attempt)));
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

void Subscription::Loop::connected(LogId log) {
  core_.connected(now_ms(), log);
  pump();
}

void Subscription::Loop::disconnected() {
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
               [self = shared_from_this(), id = ask.id](Result<net::Answer>&& result) {
                 if (result) {
                   self->core_.answered(now_ms(), id, std::move(result->response), result->payload);
                 } else {
                   self->core_.answered(now_ms(), id, std::move(result).error(), {});
                 }
                 self->pump();
               });
}

void Subscription::Loop::arm_tick() {
  const std::int64_t next = core_.next_tick_ms();
  if (next >= armed_ms_) return;
  armed_ms_ = next;
  const std::lock_guard lock(mutex_);
  if (client_ == nullptr) return;
  client_->post_after(std::max<std::int64_t>(next - now_ms(), 0),
                      [self = shared_from_this(), next] {
                        if (self->armed_ms_ == next) self->armed_ms_ = ConsumerCore::kNever;
                        self->core_.tick(now_ms());
                        self->pump();
                      });
}

void Subscription::Loop::begin_stop() {
  pool_->finish();
  post([self = shared_from_this()] {
    self->core_.stop(now_ms(), self->pool_->take_back());
    self->pump();
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
  return {};
}

void Subscription::Loop::end(std::int64_t timeout_ms) {
  begin_stop();
  if (pool_->on_worker()) return pool_->join();
  pool_->wait_idle(-1);
  pool_->join();
  wait_drained(timeout_ms);
}

void Subscription::Loop::detach() {
  const std::lock_guard lock(mutex_);
  client_ = nullptr;
  drained_changed_.notify_all();
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
