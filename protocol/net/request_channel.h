#pragma once
// All that a client decides, without a socket: Hello, window, answers, deadlines, the broker's requests, dead peers.
//
// Operation: its owner (Client) feeds it with asked requests, received bytes, the ends of writes and connections, and time; it
// calls the callbacks and says what to write and when it wants tick(). A request waits, encoded, until it may be written: only
// what start_write() handed out is in flight, so everything else ends with a definite error. Requests that were refused in
// ask() are called back by deliver_refusals(), never from within ask().
// Concurrency: one thread. Callbacks may call ask(), nothing else.
// Limits: ClientOptions; one write carries at most 1 MiB (or one larger frame); answers to the broker's own requests wait in
// 64 KiB, then the connection is given up.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/net/request_table.h"
#include "protocol/net/waiting_frames.h"
#include "protocol/wire/codec.h"

namespace tally::net {

class RequestChannel {
 public:
  RequestChannel(const ClientOptions& options, Client::Callbacks callbacks, std::int64_t now_us);

  void ask(const Request& request, std::string_view block, std::int64_t timeout_ms,
           AnswerCallback&& callback, std::int64_t now_us);
  /// Ends a request that cannot even be kept.
  void refuse(AnswerCallback&& callback, Error error);
  /// To be called at the end of each batch. True when there were any: their callbacks may have asked.
  bool deliver_refusals();

  /// The stream stands: Hello comes first.
  void connected(std::int64_t now_us);
  /// Hello was granted on this connection.
  bool ready() const { return phase_ == Phase::kReady; }

  struct Received {
    std::size_t consumed = 0;
    std::size_t needed = 0;  ///< bytes that the frame at the front wants in all, at least
  };
  /// Serves all whole frames. After an error the connection must be ended, with that error.
  Result<Received> received(std::string_view bytes, std::int64_t now_us);

  /// What to write now, valid until written() or disconnected(); empty: nothing, or the last write goes on.
  std::string_view start_write();
  void written() { clear_buffer(writing_); }

  /// The connection, or an attempt at one, ended: requests in flight end with DISCONNECTED, then on_disconnected is called.
  void disconnected(const Error& why);
  /// Ends everything with CLOSED, also what is asked later.
  void close();
  /// After disconnected(), for a client that does not connect again: everything that waits, and all that is asked later,
  /// ends with UNREACHABLE.
  void give_up(const Error& why);

  /// Ends what has expired, asks a silent peer for a sign. After an error the connection must be ended, with that error.
  Result<void> tick(std::int64_t now_us);
  /// When tick() is wanted; INT64_MAX: not at all. May be early.
  std::int64_t next_tick_us() const;

 private:
  enum class Phase : std::uint8_t { kDisconnected, kHello, kReady, kClosed };

  void end_all(Error because);
  Result<void> serve(const wire::Frame& frame);
  Result<void> serve_hello_answer(const wire::Frame& frame);
  Result<void> serve_answer(const wire::Frame& frame);
  Result<void> serve_request(const wire::Frame& frame);
  std::size_t queued_bytes() const {
    return waiting_.live_bytes() + control_.size() + writing_.size();
  }

  ClientOptions options_;
  Client::Callbacks callbacks_;
  wire::Codec codec_{};
  wire::FrameDecoder decoder_;
  RequestTable table_;
  WaitingFrames waiting_{};
  std::string control_{};  // own frames: Hello, pings, answers; they go first and need no window
  std::string writing_{};
  Phase phase_ = Phase::kDisconnected;
  std::uint32_t window_ = 0;
  std::size_t frame_bytes_max_;  // of requests
  std::int64_t ping_us_ = 0;
  std::int64_t last_received_us_ = 0;
  std::int64_t last_ping_us_ = 0;
  std::string why_disconnected_ = "not connected yet";
  Error closed_because_{};  // when closed
  struct Refusal {
    AnswerCallback callback{};
    Error error{};
  };
  std::vector<Refusal> refusals_{};
};

}  // namespace tally::net
