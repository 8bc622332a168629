#pragma once
// The threads on which databases and listeners are asked, apart from the network thread.
//
// Concurrency: thread-safe. Jobs may outlive a stop() whose deadline passed first, so they own all they use.
// Limits: ProducerCore bounds the jobs.

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace tally {

class CheckThreads {
 public:
  /// Throws std::system_error when the machine gives no thread.
  explicit CheckThreads(std::uint32_t threads);
  ~CheckThreads();

  void push(std::function<void()> job);
  /// Begins no further job and joins; a job that still runs at the deadline is left to end alone. False then.
  bool stop(std::int64_t deadline_ms);

 private:
  struct State;
  std::shared_ptr<State> state_;
  std::vector<std::thread> threads_;
};

}  // namespace tally
