#include "producer-sdk/check_threads.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>

namespace tally {

struct CheckThreads::State {
  std::mutex mutex{};
  std::condition_variable changed{};
  std::deque<std::function<void()>> jobs{};
  std::uint32_t running = 0;
  bool stopping = false;

  void work() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] { return stopping || !jobs.empty(); });
      if (stopping) return;
      auto job = std::move(jobs.front());
      jobs.pop_front();
      ++running;
      lock.unlock();
      job();
      job = nullptr;  // what it owns ends before the thread counts as idle
      lock.lock();
      --running;
      changed.notify_all();
    }
  }
};

CheckThreads::CheckThreads(std::uint32_t threads) : state_(std::make_shared<State>()) {
  try {
    for (std::uint32_t i = 0; i < threads; ++i) {
      threads_.emplace_back([state = state_] { state->work(); });
    }
  } catch (...) {
    stop(0);  // joins those that began
    throw;
  }
}

CheckThreads::~CheckThreads() { stop(0); }

void CheckThreads::push(std::function<void()> job) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->stopping) return;
    state_->jobs.push_back(std::move(job));
  }
  state_->changed.notify_one();
}

bool CheckThreads::stop(std::int64_t deadline_ms) {
  std::deque<std::function<void()>> dropped;
  bool idle = false;
  {
    std::unique_lock lock(state_->mutex);
    state_->stopping = true;
    dropped.swap(state_->jobs);
    state_->changed.notify_all();
    idle = state_->changed.wait_for(lock, std::chrono::milliseconds(deadline_ms),
                                    [this] { return state_->running == 0; });
  }
  for (std::thread& thread : threads_) idle ? thread.join() : thread.detach();
  threads_.clear();
  return idle;
}

}  // namespace tally
