#pragma once
// The open requests of one client: who waits to be sent, who is in flight, and whose deadline passes next.
//
// Operation: a request id is (generation << 32 | slot), so an answer finds its request by one index, and an id is never used
// twice in the life of a table. A request is *waiting* until fly(), then *in flight* until answer(). One whose deadline passes
// in flight is *abandoned*: its callback is taken out, but it keeps its place in the broker's window until the broker answers
// or the connection ends. Deadlines stand in a wheel of 1,024 buckets of 8.2 ms: nothing ends early, at most 8.2 ms late.
// Concurrency: one thread. No function calls a callback: they are handed out, so that they may use the table again.
// Limits: at most `requests_max` open requests (abandoned ones count); slots are reused, the table grows to the most ever open.

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "protocol/net/client.h"

namespace tally::net {

using AnswerCallback = Client::AnswerCallback;

class RequestTable {
 public:
  RequestTable(std::uint32_t requests_max, std::int64_t now_us);

  bool full() const { return open_ >= requests_max_; }
  /// Requests that use the window: in flight and abandoned.
  std::uint32_t flying() const { return flying_; }
  std::uint32_t open() const { return open_; }

  /// A new waiting request. The table must not be full.
  RequestId add(RequestKind kind, std::int64_t deadline_us, AnswerCallback&& callback);
  /// Notes how many bytes wait to be sent for it.
  void set_frame_bytes(RequestId id, std::uint32_t bytes) { at(id).frame_bytes = bytes; }
  bool is_waiting(RequestId id) const;
  /// A waiting request was handed to the connection.
  void fly(RequestId id);
  /// Ends a waiting request.
  AnswerCallback refuse(RequestId id);

  struct Flying {
    RequestKind kind{};
    bool abandoned = false;
  };
  /// Nothing when no such request is in flight.
  std::optional<Flying> find_flying(RequestId id) const;
  /// Ends a request that is in flight; the callback is empty when it was abandoned.
  AnswerCallback answer(RequestId id);

  struct Ended {
    AnswerCallback callback{};
    bool was_flying = false;
    std::uint32_t frame_bytes = 0;
  };
  /// One request whose deadline has passed, or nothing.
  std::optional<Ended> pop_expired(std::int64_t now_us);
  /// Nothing expires before this time; INT64_MAX when nothing is open. May be earlier than the earliest deadline.
  std::int64_t next_due_us() const { return next_due_us_; }

  /// Ends all that is in flight, in the order of asking.
  std::vector<Ended> take_flying();
  /// Ends everything, in the order of asking.
  std::vector<Ended> take_all();

 private:
  enum class State : std::uint8_t { kFree, kWaiting, kFlying, kAbandoned };
  struct Link {
    std::uint32_t previous = 0;
    std::uint32_t next = 0;
  };
  struct Slot {
    AnswerCallback callback{};
    std::int64_t due_tick = 0;
    std::uint64_t sequence = 0;  // order of asking
    std::uint32_t generation = 1;
    std::uint32_t frame_bytes = 0;
    Link link{};  // in a bucket, in the list of the due, or (free) in the list of the free
    State state = State::kFree;
    RequestKind kind{};
  };

  // Lists are circles through a head; indexes below kHeads are heads, the others are slots.
  static constexpr std::uint32_t kBuckets = 1024;
  static constexpr std::uint32_t kDue = kBuckets;
  static constexpr std::uint32_t kFreeList = kBuckets + 1;
  static constexpr std::uint32_t kHeads = kBuckets + 2;

  Slot& at(RequestId id);
  const Slot* find(RequestId id) const;
  Link& link(std::uint32_t node);
  void push_back(std::uint32_t head, std::uint32_t node);
  void unlink(std::uint32_t node);
  AnswerCallback release(std::uint32_t slot);
  void collect_due(std::int64_t now_us);
  void find_next_due();
  std::vector<Ended> take(bool also_waiting);

  std::uint32_t requests_max_;
  std::uint32_t open_ = 0;
  std::uint32_t flying_ = 0;
  std::uint64_t sequence_ = 0;
  std::int64_t tick_;  // all buckets before this one are empty, but for later rounds
  std::int64_t next_due_us_;
  std::array<Link, kHeads> heads_{};
  std::vector<Slot> slots_{};
};

}  // namespace tally::net
