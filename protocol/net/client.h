#pragma once
// One connection to the broker, as a client sees it: requests with deadlines, answers, the broker's questions.
//
// Operation: start() gives a client that connects, says Hello, and connects again after every loss (back-off 50 ms × 2 up to
// 5 s, with jitter). Requests may be asked at any time; while there is no connection they wait until their deadline. Requests
// in flight when a connection breaks end with DISCONNECTED (outcome unknown); the caller decides about repeating them.
// Concurrency: every member function is thread-safe. All callbacks run on the client's network thread, in batches: all
// that was answered in one read is served before the next write. A callback must not block, nor throw; it may ask().
// Limits: at most `requests_max` requests wait or fly (then OVERLOADED at once); the granted window bounds what flies, and
// a request that timed out in flight uses both until the broker answers it or the connection ends;
// at most `write_bytes_max` bytes are queued (then OVERLOADED). Nothing larger than the broker's frame limit: FRAME_TOO_LARGE.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "protocol/base/requests.h"

namespace tally::net {

/// A network thread. Clients that share one have their callbacks on it, one at a time; it must not be destroyed there.
class Loop {
 public:
  Loop();
  ~Loop();

 private:
  friend class Client;
  struct State;
  std::unique_ptr<State> state_;
};

struct ClientOptions {
  std::string broker = "127.0.0.1:7410";
  HelloRequest hello{};
  std::int64_t connect_ms = 3'000;  ///< for one attempt, Hello included
  std::uint32_t requests_max = 65'536;
  std::size_t write_bytes_max = 64u << 20;
  bool reconnect =
      true;  ///< false: the first loss or failed attempt is final, and all later requests end with UNREACHABLE
  std::shared_ptr<Loop> loop{};  ///< nothing: a thread of its own
};

/// An answer: the response and the payload beside it (valid during the callback only).
struct Answer {
  Response response{};
  std::string_view payload{};
};

class Client {
 public:
  using AnswerCallback = std::function<void(Result<Answer>&&)>;

  struct Callbacks {
    /// Each time; before any other callback of that connection.
    std::function<void(const HelloResponse&)> on_connected{};
    /// Each loss and each failed attempt, after the requests in flight have ended. UNREACHABLE until Hello was granted,
    /// DISCONNECTED afterwards, or the error that the broker named or that its bytes showed.
    std::function<void(const Error&)> on_disconnected{};
    /// The receipt is answered by the client itself, before this.
    std::function<void(CheckRequest&&)> on_check{};
  };

  /// Never fails: an unreachable broker is reported through on_disconnected.
  /// Errors: INVALID_ARGUMENT when the address does not parse or has no port, or connect_ms is not positive; OVERLOADED
  /// when the machine gives no thread or descriptor.
  static Result<std::unique_ptr<Client>> start(ClientOptions options, Callbacks callbacks);

  /// Stops: every open request ends with CLOSED, callbacks have returned when it returns. Never on the network thread.
  ~Client();

  /// `timeout_ms` > 0 counts from now; when it passes first, the request ends with TIMEOUT (outcome unknown when it was
  /// written, UNREACHABLE when it never was). `block` is copied into the write queue.
  void ask(Request request, std::string_view block, std::int64_t timeout_ms,
           AnswerCallback callback);

  /// Runs `task` on the network thread.
  void post(std::function<void()> task);
  /// Runs `task` on the network thread after `delay_ms`; dropped at stop.
  void post_after(std::int64_t delay_ms, std::function<void()> task);

 private:
  class Connection;
  Client(std::shared_ptr<Loop> loop, std::shared_ptr<Connection> connection);
  std::shared_ptr<Loop> loop_;
  std::shared_ptr<Connection> connection_;
};

/// Splits "HOST:PORT". Error: INVALID_ARGUMENT.
struct Address {
  std::string host{};
  std::uint16_t port = 0;
};
Result<Address> parse_address(std::string_view text);

/// Asks one request and waits: for tools. Error of the request, or UNREACHABLE / TIMEOUT.
struct OwnedAnswer {
  Response response{};
  std::string payload{};
};
Result<OwnedAnswer> ask_and_wait(Client& client, Request request, std::string_view block,
                                 std::int64_t timeout_ms);

}  // namespace tally::net
