#pragma once
// Between handlers and the test's own thread. Waits end after 20 s, with false.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

namespace tally::testing {

/// What handlers find wrong: the assertions of Catch are for the test's own thread.
class Faults {
 public:
  void expect(bool condition) { count_ += condition ? 0 : 1; }
  int count() const { return count_; }

 private:
  std::atomic<int> count_{0};
};

class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  bool wait_open() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kLimit, [this] { return open_; });
  }
  void wait_open_for(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, time, [this] { return open_; });
  }
  void arrive() {
    const std::lock_guard lock(mutex_);
    ++arrived_;
    changed_.notify_all();
  }
  bool wait_arrived(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kLimit, [&] { return arrived_ >= count; });
  }
  int arrived() {
    const std::lock_guard lock(mutex_);
    return arrived_;
  }

 private:
  static constexpr std::chrono::seconds kLimit{20};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int arrived_ = 0;
};

}  // namespace tally::testing
