#pragma once
// Timers of the core: setting and cancelling cost O(1) and no memory, because a timer is a part of what it belongs to.
//
// A timer fires at the first expire() at or after its due time, at most one slot late, never early. Times farther away than
// the wheel's turn are kept in its last slot and set again when that passes. Owned by the core; one thread.

#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <memory>

namespace tally::broker {

enum class TimerKind : std::uint8_t { kCheck, kLease, kReceive, kRetry };

/// A link in one list: a slot of the wheel or any other HookList. Its owner dies unlinked or unlinks it.
struct TimerHook {
  explicit TimerHook(TimerKind k) : kind(k) {}
  TimerHook(const TimerHook&) = delete;
  TimerHook& operator=(const TimerHook&) = delete;
  ~TimerHook() { unlink(); }
  bool linked() const { return next != nullptr; }
  void unlink() {
    if (!linked()) return;
    prev->next = next;
    next->prev = prev;
    prev = next = nullptr;
  }
  TimerHook* prev = nullptr;
  TimerHook* next = nullptr;
  std::int64_t due_ms = 0;
  TimerKind kind;
};

/// A first-in first-out list of hooks.
class HookList {
 public:
  HookList() { head_.prev = head_.next = &head_; }
  ~HookList() {
    while (!empty()) front()->unlink();
    head_.prev = head_.next = nullptr;
  }
  HookList(const HookList&) = delete;
  HookList& operator=(const HookList&) = delete;
  bool empty() const { return head_.next == &head_; }
  TimerHook* front() { return head_.next; }
  void push_back(TimerHook& hook) {
    hook.unlink();
    hook.prev = head_.prev;
    hook.next = &head_;
    head_.prev->next = &hook;
    head_.prev = &hook;
  }

 private:
  TimerHook head_{TimerKind::kCheck};
};

class TimerWheel {
 public:
  static constexpr std::int64_t kSlotMs = 8;
  static constexpr std::int64_t kSlots = 8192;
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  void start(std::int64_t now_ms) { current_ = now_ms / kSlotMs; }

  void schedule(TimerHook& hook, std::int64_t due_ms) {
    hook.due_ms = due_ms;
    std::int64_t slot = (due_ms + kSlotMs - 1) / kSlotMs;
    if (slot <= current_) slot = current_ + 1;
    if (slot >= current_ + kSlots) slot = current_ + kSlots - 1;
    const auto at = static_cast<std::size_t>(slot % kSlots);
    (*slots_)[at].push_back(hook);
    used_[at / 64] |= 1ull << (at % 64);
  }

  /// Calls `fire(hook)` for each due timer, already unlinked.
  template <typename Fire>
  void expire(std::int64_t now_ms, Fire fire) {
    const std::int64_t target = now_ms / kSlotMs;
    if (target - current_ > kSlots) current_ = target - kSlots;
    while (current_ < target) {
      ++current_;
      HookList& slot = (*slots_)[static_cast<std::size_t>(current_ % kSlots)];
      HookList due;
      while (!slot.empty()) due.push_back(*slot.front());
      while (!due.empty()) {
        TimerHook& hook = *due.front();
        hook.unlink();
        if (hook.due_ms > now_ms) {
          schedule(hook, hook.due_ms);
        } else {
          fire(hook);
        }
      }
    }
  }

  /// When the next slot with a timer is due; kNever when there is none.
  std::int64_t next_due_ms() {
    const auto start = static_cast<std::size_t>((current_ + 1) % kSlots);
    for (std::size_t step = 0; step <= used_.size(); ++step) {
      const std::size_t word = (start / 64 + step) % used_.size();
      std::uint64_t bits = used_[word];
      if (step == 0) bits &= ~0ull << (start % 64);
      for (; bits != 0; bits &= bits - 1) {
        const std::size_t at = word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
        if (!(*slots_)[at].empty()) {
          const std::size_t ahead = (at + kSlots - start) % kSlots;
          return (current_ + 1 + static_cast<std::int64_t>(ahead)) * kSlotMs;
        }
        used_[word] &= ~(1ull << (at % 64));
      }
    }
    return kNever;
  }

 private:
  std::int64_t current_ = 0;  ///< slots up to this one have fired
  std::unique_ptr<std::array<HookList, kSlots>> slots_ =
      std::make_unique<std::array<HookList, kSlots>>();
  std::array<std::uint64_t, kSlots / 64> used_{};  ///< bit set: the slot may hold timers
};

}  // namespace tally::broker
