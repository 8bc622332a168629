#pragma once
// One client's connection: which frames are taken when, and what is answered without asking the core.
//
// Operation: waits until bytes are there, reads once, serves every whole frame, hands the requests to its thread in one batch.
// Answers are encoded one behind the other and written with one call when the thread has nothing else to do. Hello comes
// first; Ping is answered here. An unknown or malformed request is answered with its error; a stream that cannot be read on
// is answered with the reason, then closed.
// Concurrency: lives on one I/O thread. Handlers of the socket own it, and the thread's table.
// Limits: SessionLimits and the window. While more than unsent_soft_bytes wait to be written, nothing is read and grants
// wait; over unsent_max_bytes the connection is closed. A requester that is too slow is told CONNECTION_TIMEOUT and closed.

#include <asio/ip/tcp.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "broker/server/mail.h"
#include "broker/server/receive_buffer.h"
#include "protocol/wire/frame.h"

namespace tally::broker {

class IoThread;

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(IoThread& thread, asio::ip::tcp::socket socket, SessionId id, std::string address);

  void start();
  /// Instead of start(): says why, and closes.
  void refuse(const Error& error) { fail(RequestId{}, 0, error); }

  void answer(const Reply& reply);
  void answer(Grant&& grant);
  void answer(ReadGrant&& read);
  void ask(const AskCheck& check);

  /// Writes all that was encoded since.
  void flush();
  /// What stood in the way of reading may be gone.
  void unpark();
  /// Closes what has run out of time.
  void sweep(std::int64_t now_ms);
  /// Writes what is there, then closes; what the client still sends is dropped.
  void close_orderly();
  void close();
  bool is_closed() const { return state_ == State::kClosed; }
  SessionId id() const { return id_; }

 private:
  enum class State : std::uint8_t { kHello, kOpen, kClosing, kLingering, kClosed };

  void wait_readable();
  void on_readable();
  void park();
  void discard();
  void take_frames(std::string_view bytes);
  void take_frame(const wire::Frame& frame, CommandBatch& batch);
  void take_answer(const wire::Frame& frame);
  void take_hello(const wire::Frame& frame);
  void greet(RequestId request, const HelloRequest& hello);
  Result<void> take_block(const wire::Frame& frame, Command& command);
  bool answer_here(RequestId request, const Request& body);
  void answer_error(RequestId request, std::uint8_t kind, const Error& error);
  void write_grant(Grant&& grant);
  void serve_waiting_grants();
  /// Answers with the error, then closes.
  void fail(RequestId request, std::uint8_t kind, const Error& error);

  bool may_read() const;
  std::size_t unsent() const { return out_.size() + flight_.size() - flight_sent_; }
  std::string& out();
  void written();

  IoThread& thread_;
  asio::ip::tcp::socket socket_;
  const SessionId id_;
  const std::string address_;
  State state_ = State::kHello;
  bool greeted_ = false;
  bool read_waiting_ = false;
  bool write_waiting_ = false;
  bool parked_ = false;     ///< stands in the thread's list of sessions that may not read
  bool cold_read_ = false;  ///< a grant is with the index thread; the next ones wait
  bool dirty_ = false;      ///< stands in the thread's list of sessions to flush
  std::uint32_t window_ = 0;
  std::uint32_t in_flight_ = 0;  ///< requests with the core
  std::size_t commands_expected_ = 0;

  wire::FrameDecoder decoder_;
  ReceiveBuffer receive_;
  std::int64_t since_ms_;            ///< of the state
  std::int64_t received_ms_;         ///< of the newest byte
  std::int64_t frame_since_ms_ = 0;  ///< of the unfinished frame at the front

  std::string out_{};     ///< being filled
  std::string flight_{};  ///< being written
  std::size_t flight_sent_ = 0;
  std::deque<Grant> waiting_grants_{};
};

}  // namespace tally::broker
