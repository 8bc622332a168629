#include "producer-sdk/producer_engine.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>

#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/base/random.h"

namespace tally {
namespace {

constexpr std::uint32_t kCheckThreads = 2;
constexpr std::int64_t kRegisterTimeoutMs = 10'000;
constexpr std::int64_t kFindFinalTimeoutMs = 10'000;

/// The engine on whose network thread this code runs.
thread_local const void* network_thread_of = nullptr;

std::int64_t now_ms() { return system_clock().boot_ms(); }

template <typename T>
Result<T> unwrap(Result<net::Answer>&& answer) {
  if (!answer) return std::move(answer).error();
  if (T* response = std::get_if<T>(&answer->response)) return std::move(*response);
  return Error(ErrorCode::kInternal, "the answer is of another kind than the request");
}

}  // namespace

Producer::Engine::Engine(ProducerOptions options)
    : options_(std::move(options)),
      checks_(kCheckThreads),
      core_({.group = options_.group, .transactions_max = options_.transactions_max}),
      sends_(std::max<std::uint64_t>(random_u64(), 1)) {}

Result<void> Producer::Engine::start() {
  if (listener() != nullptr) core_.attach(StoreId{});
  net::ClientOptions client;
  client.broker = options_.broker;
  client.hello.client = options_.client.empty() ? options_.group : options_.client;
  client.hello.software = "tally-cpp";
  net::Client::Callbacks callbacks;
  callbacks.on_connected = [this](const HelloResponse& hello) {
    network_thread_of = this;
    connected_ = true;
    log(LogLevel::kInfo, "connected to " + options_.broker);
    core_.connected(now_ms(), hello);
    sends_.connected(hello.log);
    pump();
  };
  callbacks.on_disconnected = [this](const Error& error) {
    network_thread_of = this;
    // One line for a loss, not one for each attempt after it.
    if (std::exchange(connected_, false)) log(LogLevel::kWarning, to_string(error));
    sends_.disconnected(error);
    arm_timer();
  };
  callbacks.on_check = [this](CheckRequest&& check) {
    core_.check_asked(check);
    pump();
  };
  // The network thread begins at once; it finds the pointer when this lock is released.
  const std::unique_lock lock(client_mutex_);
  TALLY_TRY(client_, net::Client::start(std::move(client), std::move(callbacks)));
  client_->post([this] { network_thread_of = this; });
  return {};
}

bool Producer::Engine::on_network_thread() const { return network_thread_of == this; }

Result<void> Producer::Engine::attach(std::shared_ptr<DatabaseAdapter> adapter) {
  const StoreId store = adapter->store_id();
  auto durable = adapter->check_durability();
  if (!durable) log(LogLevel::kError, to_string(durable.error()));
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(refused_, [&](const auto& one) { return one.first == store; });
    if (!durable) {
      refused_.emplace_back(store, durable.error());
      return durable;
    }
    const auto same = [&](const auto& known) { return known->store_id() == store; };
    if (std::any_of(adapters_.begin(), adapters_.end(), same)) return {};
    adapters_.push_back(std::move(adapter));
  }
  const bool open = submit([this, store] {
    core_.attach(store);
    pump();
  });
  return open ? Result<void>{} : Error(ErrorCode::kClosed, "the producer was stopped");
}

std::shared_ptr<DatabaseAdapter> Producer::Engine::adapter(StoreId store) {
  const std::lock_guard lock(mutex_);
  for (const auto& known : adapters_) {
    if (known->store_id() == store) return known;
  }
  return nullptr;
}

Result<void> Producer::Engine::check_attached(DatabaseAdapter& db) {
  const StoreId store = db.store_id();
  const std::lock_guard lock(mutex_);
  for (const auto& [refused, why] : refused_) {
    if (refused == store) return why;
  }
  for (const auto& known : adapters_) {
    if (known->store_id() == store) return {};
  }
  return Error(ErrorCode::kInvalidArgument,
               "attach " + db.name() + " first, so that its check-backs are answered");
}

void Producer::Engine::log(LogLevel level, std::string_view text) const {
  if (!options_.log) return;
  try {
    options_.log(level, text);
  } catch (...) {
    // There is nowhere left to tell it.
  }
}

// --- handing over to the network thread -------------------------------------------------------

bool Producer::Engine::submit(std::function<void()> task, bool last) {
  return hand_over([&](HandedOver& to) { to.tasks.push_back(std::move(task)); }, last);
}

void Producer::Engine::run_handed_over() {
  {
    const std::lock_guard lock(mutex_);
    std::swap(running_, handed_over_);
  }
  for (auto& send : running_.sends) sends_.add(std::move(send));
  for (auto& task : running_.tasks) task();
  running_.sends.clear();
  running_.tasks.clear();
  pump_sends();
  arm_timer();
  const std::lock_guard lock(mutex_);
  if (stopping_) progress_.notify_all();
}

template <typename... Args>
void Producer::Engine::ask(Args&&... args) {
  const std::shared_lock lock(client_mutex_);
  if (client_) client_->ask(std::forward<Args>(args)...);
}

template <typename Response, typename Member, typename... Args>
void Producer::Engine::ask_for_core(Request&& request, std::string_view block,
                                    std::int64_t timeout_ms, Member member, Args... args) {
  ask(std::move(request), block, std::max<std::int64_t>(timeout_ms, 1),
      [this, member, args...](Result<net::Answer>&& answer) {
        (core_.*member)(now_ms(), args..., unwrap<Response>(std::move(answer)));
        pump();
      });
}

// --- network thread ---------------------------------------------------------------------------

void Producer::Engine::pump() {
  for (ProducerAction& action : core_.take_actions()) {
    std::visit([this](auto&& one) { perform(std::move(one)); }, std::move(action));
  }
  pump_sends();
  arm_timer();
  const std::size_t open = core_.open_transactions();
  const std::lock_guard lock(mutex_);
  if (std::exchange(transactions_open_, open) != open && stopping_) progress_.notify_all();
}

void Producer::Engine::arm_timer() {
  const std::int64_t next_ms = std::min(core_.next_tick_ms(), sends_.next_tick_ms());
  if (next_ms >= armed_ms_) return;
  armed_ms_ = next_ms;
  const std::shared_lock lock(client_mutex_);
  if (!client_) return;
  client_->post_after(std::max<std::int64_t>(next_ms - now_ms(), 0), [this] {
    armed_ms_ = ProducerCore::kNever;
    core_.tick(now_ms());
    sends_.tick(now_ms());
    pump();
  });
}

void Producer::Engine::pump_sends() {
  sends_.take_ended(ended_sends_);
  for (Sends::Ended& ended : ended_sends_) {
    tell(ended.callback, std::move(ended.result));
    end_send(ended.block_bytes);
  }
  ended_sends_.clear();
  const std::int64_t now = now_ms();
  while (auto asked = sends_.next(now)) {
    const std::uint64_t sequence = asked->request.sequence;
    ask(std::move(asked->request), asked->block, asked->timeout_ms,
        [this, sequence](Result<net::Answer>&& answer) {
          sends_.answered(now_ms(), sequence, unwrap<SendResponse>(std::move(answer)));
          pump_sends();
          arm_timer();
        });
  }
}

void Producer::Engine::perform(action::AskPrepare&& ask) {
  ask_for_core<PrepareResponse>(std::move(ask.request), ask.block, ask.timeout_ms,
                                &ProducerCore::prepare_answered, ask.key, ask.message);
}

void Producer::Engine::perform(action::AskShow&& ask) {
  ask_for_core<ShowTransactionResponse>(ShowTransactionRequest{std::move(ask.id)}, {},
                                        ask.timeout_ms, &ProducerCore::show_answered, ask.key);
}

void Producer::Engine::perform(action::AskEnd&& ask) {
  ask_for_core<EndResponse>(std::move(ask.request), {}, ask.timeout_ms, &ProducerCore::end_answered,
                            ask.key);
}

void Producer::Engine::perform(action::AskRegister&& ask) {
  ask_for_core<RegisterCheckerResponse>(std::move(ask.request), {}, kRegisterTimeoutMs,
                                        &ProducerCore::register_answered);
}

void Producer::Engine::perform(action::AskAnswerCheck&& check) {
  ask(std::move(check.request), std::string_view(), limits::kCheckAnswerMs,
      [this, id = check.request.transaction](Result<net::Answer>&& answer) {
        if (answer) return;
        log(LogLevel::kDebug, "answer to the check of " + id + ": " + to_string(answer.error()));
      });
}

void Producer::Engine::perform(action::RunLocal&& run) {
  auto turn = turns_.extract(run.key);
  if (turn) turn.mapped()->set_value(std::move(run));
}

void Producer::Engine::perform(action::Refuse&& refuse) {
  auto turn = turns_.extract(refuse.key);
  if (turn) turn.mapped()->set_value(std::move(refuse.result));
}

void Producer::Engine::perform(action::CheckLocal&& check) {
  checks_.push([weak = weak_from_this(), check = std::move(check)] {
    CheckVerdict verdict;
    {
      const auto engine = weak.lock();
      if (!engine) return;
      verdict = engine->check_local(check);
    }
    if (const auto engine = weak.lock()) {
      Engine* self = engine.get();
      engine->submit([self, ticket = check.ticket, verdict = std::move(verdict)] {
        self->core_.check_finished(now_ms(), ticket, verdict);
        self->pump();
      });
    }
  });
}

CheckVerdict Producer::Engine::check_local(const action::CheckLocal& check) {
  if (const auto database = adapter(check.store)) {
    return database->check(check.transaction, check.handle);
  }
  if (listener() == nullptr) return {Decision::kUnknown, "this database is not attached here"};
  try {
    const Decision decision = listener()->check(check.transaction);
    return {decision, "the listener said " + std::string(name(decision))};
  } catch (const std::exception& exception) {
    return {Decision::kUnknown, std::string("the listener threw: ") + exception.what()};
  } catch (...) {
    return {Decision::kUnknown, "the listener threw"};
  }
}

template <typename Ask, typename Member>
void Producer::Engine::ask_database(StoreId store, Ask ask, Member member) {
  checks_.push([weak = weak_from_this(), database = adapter(store), ask = std::move(ask), member] {
    auto said = ask(*database);
    if (const auto engine = weak.lock()) {
      Engine* self = engine.get();
      engine->submit([self, member, said = std::move(said)]() mutable {
        (self->core_.*member)(now_ms(), std::move(said));
        self->pump();
      });
    }
  });
}

void Producer::Engine::perform(action::ListBarrier&& list) {
  ask_database(
      list.store,
      [query = std::move(list.query)](DatabaseAdapter& database) {
        return database.barrier_rows(query);
      },
      &ProducerCore::barrier_listed);
}

void Producer::Engine::perform(action::AskFindFinal&& ask) {
  ask_for_core<FindFinalResponse>(std::move(ask.request), {}, kFindFinalTimeoutMs,
                                  &ProducerCore::finality_answered);
}

void Producer::Engine::perform(action::ForgetRows&& forget) {
  ask_database(
      forget.store,
      [forget](DatabaseAdapter& database) {
        return database.forget(forget.transactions, forget.before_ms);
      },
      &ProducerCore::barrier_forgotten);
}

void Producer::Engine::perform(action::Settle&& settle) {
  auto waiter = waiters_.extract(settle.waiter);
  if (waiter) waiter.mapped()->set_value(std::move(settle.result));
}

void Producer::Engine::perform(action::Log&& line) { log(line.level, line.text); }

// --- the end ----------------------------------------------------------------------------------

Result<void> Producer::Engine::stop(std::int64_t deadline_ms) {
  const std::int64_t until_ms = now_ms() + deadline_ms;
  const auto left = [&] {
    return std::chrono::milliseconds(std::max<std::int64_t>(until_ms - now_ms(), 0));
  };
  bool drained = false;
  auto core_closed = std::make_shared<std::promise<void>>();
  {
    std::unique_lock lock(mutex_);
    if (stopping_.exchange(true)) return {};
    progress_.notify_all();
    // Tasks that are handed over already may still open transactions.
    drained = progress_.wait_for(lock, left(), [this] {
      return handed_over_.empty() && transactions_open_ == 0 && sends_open_ == 0;
    });
  }
  const bool last = true;
  submit(
      [this, core_closed] {
        core_.close();
        sends_.close();
        pump();
        core_closed->set_value();
      },
      last);
  core_closed->get_future().wait();
  std::unique_ptr<net::Client> client;
  {
    const std::unique_lock lock(client_mutex_);
    client = std::move(client_);
  }
  client.reset();
  const bool joined = checks_.stop(left().count());
  if (drained && joined) return {};
  return Error(ErrorCode::kTimeout, drained ? "a check is still running"
                                            : "not everything was confirmed before the deadline");
}

void Producer::Engine::end(std::int64_t deadline_ms) {
  if (!on_network_thread()) {
    static_cast<void>(stop(deadline_ms));
    return;
  }
  std::thread([self = shared_from_this(), deadline_ms] {
    static_cast<void>(self->stop(deadline_ms));
  }).detach();
}

}  // namespace tally
