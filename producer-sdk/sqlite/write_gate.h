#pragma once
// Lets the writers of one process take turns, so that they do not poll SQLite's lock against each other.
//
// Checks go first: a check that finds no turn costs a round of the broker's back-off, a transaction only a moment.
// Thread-safe. Waiting is limited by the caller.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace tally::sqlite {

class WriteGate {
 public:
  enum class Kind : std::uint8_t { kTransaction, kCheck };

  /// True when it is this caller's turn, false when `wait_ms` passed first.
  bool enter(Kind kind, std::int64_t wait_ms) {
    std::unique_lock lock(mutex_);
    const bool check = kind == Kind::kCheck;
    if (check) ++checks_waiting_;
    const bool entered = changed_.wait_for(lock, std::chrono::milliseconds(wait_ms), [&] {
      return !busy_ && (check || checks_waiting_ == 0);
    });
    if (check) --checks_waiting_;
    if (entered) {
      busy_ = true;
    } else {
      changed_.notify_all();  // transactions may have waited for this check
    }
    return entered;
  }

  void leave() {
    {
      const std::lock_guard lock(mutex_);
      busy_ = false;
    }
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool busy_ = false;
  int checks_waiting_ = 0;
};

}  // namespace tally::sqlite
