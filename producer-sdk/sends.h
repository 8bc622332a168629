#pragma once
// The plain sends of one producer. Each is numbered, so that one that was cut off can be repeated and is stored once.
//
// Operation: add() gives a message the producer's next sequence. While there is a connection, next() says what to ask; what came
// of it goes to answered(). A send whose connection broke is asked again on the next one, in order and under the same
// number, until its deadline. take_ended() has what the callers are to be told.
// The broker remembers the newest kWindow sequences of a producer. So from the oldest one without an answer to the newest
// one that was asked there are at most as many; later ones wait here.
// An error is definite only if no earlier attempt may have stored the message. Another log than before does not know the
// earlier attempts: what was cut off is not repeated there, unless its repeat was asked before and is not written yet.
// Times are monotonic milliseconds. Concurrency: one thread; no I/O, no clock. Bounds are the owner's.

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tally/error.hpp>
#include <tally/message.hpp>
#include <tally/result.hpp>
#include <vector>

#include "protocol/base/requests.h"

namespace tally {

class Sends {
 public:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
  static constexpr std::size_t kWindow = 1'024;
  using Callback = std::function<void(Result<SendReceipt>&&)>;

  /// `producer`: not zero; tells this producer's numbers from all others'.
  explicit Sends(std::uint64_t producer) : producer_(producer) {}

  struct New {
    std::string topic{};
    std::string block{};
    std::int64_t deadline_ms = 0;  ///< in the order of time, or nearly so
    Callback callback{};
  };
  void add(New&& send);
  void connected(LogId log);
  /// After answered() was told of all that was in flight.
  void disconnected(const Error& why);

  struct Ask {
    SendRequest request{};
    std::string_view block{};  ///< until it is answered
    std::int64_t timeout_ms = 0;
  };
  /// What to ask the broker now, one after the other; nothing: wait.
  std::optional<Ask> next(std::int64_t now_ms);
  void answered(std::int64_t now_ms, std::uint64_t sequence, Result<SendResponse>&& answer);
  /// What has waited here past its deadline ends; a request that was asked ends by its own.
  void tick(std::int64_t now_ms);
  std::int64_t next_tick_ms() const;
  /// What waits here ends with CLOSED.
  void close();

  struct Ended {
    Callback callback{};
    Result<SendReceipt> result;
    std::size_t block_bytes = 0;
  };
  /// `into` is empty.
  void take_ended(std::vector<Ended>& into) { into.swap(ended_); }

 private:
  enum class State : std::uint8_t { kWaiting, kAsked, kEnded };
  struct Send : New {
    State state = State::kWaiting;
    bool may_be_stored = false;  ///< an attempt was cut off
  };
  void end(Send& send, Result<SendReceipt>&& result);
  void pop_ended();

  const std::uint64_t producer_;
  std::optional<LogId> log_{};
  bool connected_ = false;
  std::string why_disconnected_ = "not connected yet";
  std::deque<Send> sends_{};
  std::uint64_t first_sequence_ = 1;  ///< of the front
  std::size_t next_ = 0;              ///< in front of it nothing waits
  std::vector<Ended> ended_{};
};

}  // namespace tally
