#pragma once
// How threads hand work to each other: everything that was put since the last look is taken with one swap, and the reader
// is woken once per batch, only when it sleeps.
//
// Operation: `Mail` is a struct of vectors. Writers append inside put(); the reader takes the whole struct and gives back an
// emptied one, so that both keep their capacity.
// Concurrency: put() from any thread, take() by one.
// Limits: none of its own; what may be put is bounded by windows, credits and the pauses of reading.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <utility>

namespace tally::broker {

/// For readers with nothing else to do than wait.
inline constexpr std::int64_t kWaitForMail = 3'600'000;

template <typename Mail>
class Mailbox {
 public:
  template <typename Append>
  void put(Append&& append) {
    bool wake = false;
    {
      std::lock_guard lock(mutex_);
      append(mail_);
      filled_ = true;
      wake = std::exchange(sleeping_, false);
    }
    if (wake) filled_now_.notify_one();
  }

  /// Swaps `mail`, which must be empty, with what was put. Waits for something at most `wait_ms`; false: nothing came.
  bool take(Mail& mail, std::int64_t wait_ms) {
    std::unique_lock lock(mutex_);
    if (!filled_ && wait_ms > 0) {
      sleeping_ = true;
      filled_now_.wait_for(lock, std::chrono::milliseconds(wait_ms), [&] { return filled_; });
      sleeping_ = false;
    }
    std::swap(mail, mail_);
    return std::exchange(filled_, false);
  }

 private:
  std::mutex mutex_;
  std::condition_variable filled_now_;
  Mail mail_{};
  bool filled_ = false;
  bool sleeping_ = false;
};

}  // namespace tally::broker
