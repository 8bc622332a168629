#include "consumer-sdk/handler_pool.h"

#include <chrono>
#include <utility>

#include "protocol/base/check.h"

namespace tally {
namespace {

// A handler may be run by an application's thread, so the id of a thread does not tell.
thread_local const HandlerPool* pool_of_this_handler = nullptr;

}  // namespace

std::shared_ptr<HandlerPool> HandlerPool::start(std::uint32_t threads, Executor executor, Run run,
                                                std::function<void()> wake) {
  const bool own_threads = !executor;
  auto pool = std::make_shared<HandlerPool>(std::move(executor), std::move(run), std::move(wake));
  for (std::uint32_t i = 0; own_threads && i < threads; ++i) {
    pool->threads_.emplace_back([pool] { pool->work(); });
  }
  return pool;
}

HandlerPool::HandlerPool(Executor executor, Run run, std::function<void()> wake)
    : executor_(std::move(executor)), run_(std::move(run)), wake_(std::move(wake)) {}

HandlerPool::~HandlerPool() { TALLY_CHECK(threads_.empty()); }

void HandlerPool::push(std::vector<HandlerCall>& calls) {
  const std::size_t count = calls.size();
  if (count == 0) return;
  {
    const std::lock_guard lock(mutex_);
    for (HandlerCall& call : calls) calls_.push_back(std::move(call));
  }
  calls.clear();
  if (executor_) {
    for (std::size_t i = 0; i < count; ++i) {
      executor_([pool = shared_from_this()] { pool->run_one(); });
    }
  } else if (count == 1) {
    calls_changed_.notify_one();
  } else {
    calls_changed_.notify_all();
  }
}

std::vector<RunKey> HandlerPool::take_back() {
  const std::lock_guard lock(mutex_);
  std::vector<RunKey> keys;
  keys.reserve(calls_.size());
  for (const HandlerCall& call : calls_) keys.push_back(call.key);
  calls_.clear();
  return keys;
}

void HandlerPool::take_finished(std::vector<FinishedRun>& out) {
  out.clear();
  const std::lock_guard lock(mutex_);
  std::swap(out, finished_);
}

void HandlerPool::finish() {
  {
    const std::lock_guard lock(mutex_);
    finishing_ = true;
  }
  calls_changed_.notify_all();
}

bool HandlerPool::wait_idle(std::int64_t timeout_ms) {
  std::unique_lock lock(mutex_);
  const auto idle = [this] { return running_ == 0; };
  if (timeout_ms < 0) {
    idle_.wait(lock, idle);
    return true;
  }
  return idle_.wait_for(lock, std::chrono::milliseconds(timeout_ms), idle);
}

void HandlerPool::join() {
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) {
    if (on_worker()) {
      thread.detach();
    } else {
      thread.join();
    }
  }
}

bool HandlerPool::on_worker() const { return pool_of_this_handler == this; }

void HandlerPool::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    calls_changed_.wait(lock, [this] { return finishing_ || !calls_.empty(); });
    if (finishing_) return;
    run(lock);
  }
}

void HandlerPool::run_one() {
  std::unique_lock lock(mutex_);
  if (finishing_ || calls_.empty()) return;
  run(lock);
}

void HandlerPool::run(std::unique_lock<std::mutex>& lock) {
  HandlerCall call = std::move(calls_.front());
  calls_.pop_front();
  ++running_;
  lock.unlock();
  const HandlerPool* outer = std::exchange(pool_of_this_handler, this);
  const HandlerResult result = run_(call);
  pool_of_this_handler = outer;
  const RunKey key = call.key;
  call = {};  // the message's memory, outside of the lock
  lock.lock();
  finished_.push_back({key, result});
  if (finished_.size() == 1) {
    // Before the call counts as ended: who saw the pool idle finds the result announced.
    lock.unlock();
    wake_();
    lock.lock();
  }
  if (--running_ == 0) idle_.notify_all();
}

}  // namespace tally
