#pragma once
// The threads of one subscription's handlers, apart from the network thread, and the calls that wait for them.
//
// Operation: the network thread pushes calls; a worker takes the oldest, runs it, and puts the result into a list; the first
// result in an empty list wakes the network thread, which takes all of them. finish() makes workers leave after the call they
// are in; calls that nobody has begun stay until take_back().
// Concurrency: thread-safe. Each worker keeps the pool alive; join() by the owner, on any thread.
// Limits: holds what it is given; ConsumerCore bounds that.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "consumer-sdk/consumer_core.h"

namespace tally {

class HandlerPool : public std::enable_shared_from_this<HandlerPool> {
 public:
  using Run = std::function<HandlerResult(HandlerCall&)>;  ///< must not throw
  using Executor = std::function<void(std::function<void()>)>;

  /// With an executor no threads are made: it is given one task per call. `wake` runs on workers.
  static std::shared_ptr<HandlerPool> start(std::uint32_t threads, Executor executor, Run run,
                                            std::function<void()> wake);
  HandlerPool(Executor executor, Run run, std::function<void()> wake);
  ~HandlerPool();

  void push(std::vector<HandlerCall>& calls);
  /// The calls that nobody has begun, which nobody will begin any more.
  std::vector<RunKey> take_back();
  void take_finished(std::vector<FinishedRun>& out);

  /// Workers begin no further call.
  void finish();
  /// After finish(): waits until no call runs, at most `timeout_ms`; < 0 without limit. True when none runs.
  bool wait_idle(std::int64_t timeout_ms);
  /// After finish(): joins the threads; within a handler of this pool they are left to end alone.
  void join();
  /// True within a handler of this pool.
  bool on_worker() const;

 private:
  void work();     // a thread's life
  void run_one();  // a task for the executor
  void run(std::unique_lock<std::mutex>& lock);

  const Executor executor_;
  const Run run_;
  const std::function<void()> wake_;

  std::mutex mutex_;
  std::condition_variable calls_changed_;
  std::condition_variable idle_;
  std::deque<HandlerCall> calls_;
  std::vector<FinishedRun> finished_;
  std::vector<std::thread> threads_;
  std::uint32_t running_ = 0;
  bool finishing_ = false;
};

}  // namespace tally
