#include "broker/server/session.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <asio/buffer.hpp>
#include <utility>

#include "broker/server/io_thread.h"
#include "protocol/base/bytes.h"
#include "protocol/base/clock.h"
#include "protocol/base/message_block.h"

namespace tally::broker {
namespace {

constexpr std::uint32_t kVersionMin = 1;
constexpr std::uint32_t kVersionMax = 1;

bool is_asked_by_client(std::uint8_t kind) {
  switch (static_cast<RequestKind>(kind)) {
#define TALLY_REQUEST(Name, number, sender, lane) \
  case RequestKind::k##Name:                      \
    return Sender::sender == Sender::kClient;
#include "protocol/base/requests.inc"
#undef TALLY_REQUEST
  }
  return true;  // unknown: the codec says so
}

/// Request id and kind of a frame whose fixed header is there but cannot be accepted.
std::pair<RequestId, std::uint8_t> name_of_bad_frame(std::string_view bytes) {
  if (bytes.size() < wire::kFrameHeaderBytes ||
      load_le<std::uint32_t>(bytes.data()) != wire::kFrameMagic)
    return {};
  return {RequestId(load_le<std::uint64_t>(bytes.data() + 8)), static_cast<std::uint8_t>(bytes[5])};
}

}  // namespace

Session::Session(IoThread& thread, asio::ip::tcp::socket socket, SessionId id, std::string address)
    : thread_(thread),
      socket_(std::move(socket)),
      id_(id),
      address_(std::move(address)),
      decoder_(limits::kFrameBytesBeforeHelloMax),
      receive_(thread.chunks()),
      since_ms_(thread.now_ms()),
      received_ms_(since_ms_) {
  asio::error_code error;  // a socket that does not take its options fails at the first read
  socket_.non_blocking(true, error);
  socket_.set_option(asio::ip::tcp::no_delay(true), error);
}

void Session::start() { wait_readable(); }

bool Session::may_read() const {
  return state_ >= State::kClosing ||
         (thread_.reading_allowed() && unsent() <= thread_.wiring().session.unsent_soft_bytes);
}

void Session::wait_readable() {
  if (state_ == State::kClosed || read_waiting_) return;
  if (!may_read()) return park();
  read_waiting_ = true;
  socket_.async_wait(asio::socket_base::wait_read,
                     [self = shared_from_this()](const asio::error_code& error) {
                       self->read_waiting_ = false;
                       if (error) return self->close();
                       self->on_readable();
                     });
}

void Session::park() {
  if (!std::exchange(parked_, true)) thread_.park(shared_from_this());
}

void Session::unpark() {
  parked_ = false;
  wait_readable();
}

void Session::on_readable() {
  if (state_ == State::kClosed) return;
  if (state_ >= State::kClosing) return discard();
  if (!may_read()) return park();
  const std::span<char> space = receive_.space();
  if (space.empty()) return park();
  asio::error_code error;
  const std::size_t bytes = socket_.read_some(asio::buffer(space.data(), space.size()), error);
  if (error && error != asio::error::would_block && error != asio::error::interrupted)
    return close();
  if (bytes > 0) received_ms_ = thread_.now_ms();
  Counters& counters = *thread_.wiring().counters;
  add(counters.reads, 1);
  add(counters.bytes_read, bytes);
  take_frames(receive_.received(bytes));
  wait_readable();
}

void Session::discard() {
  std::array<char, 4096> ignored;
  asio::error_code error;
  for (int reads = 0; reads < 16; ++reads) {
    socket_.read_some(asio::buffer(ignored), error);
    if (error == asio::error::would_block) break;
    if (error) return close();
  }
  wait_readable();
}

void Session::take_frames(std::string_view bytes) {
  CommandBatch batch;
  batch.commands.reserve(commands_expected_);
  std::size_t consumed = 0, needed = 0;
  std::uint64_t frames = 0;
  bool referenced = false;
  while (state_ < State::kClosing) {
    const std::string_view left = bytes.substr(consumed);
    auto step = decoder_.next(left);
    if (!step) {
      const auto [request, kind] = name_of_bad_frame(left);
      fail(request, kind, step.error());
      break;
    }
    if (!step->frame) {
      needed = step->needed;
      break;
    }
    consumed += step->consumed;
    ++frames;
    referenced |= !step->frame->payload.empty();
    take_frame(*step->frame, batch);
  }
  if (state_ >= State::kClosing) consumed = bytes.size();  // nobody looks at the rest
  add(thread_.wiring().counters->frames, frames);
  commands_expected_ = batch.commands.size();
  if (!batch.commands.empty()) {
    if (referenced) batch.bytes = receive_.bytes_kept_by();
    thread_.to_core(std::move(batch));
  }
  const bool had_rest = receive_.has_rest();
  receive_.keep_rest(consumed, needed, referenced);
  if (frames > 0 || !had_rest) frame_since_ms_ = thread_.now_ms();
}

void Session::take_frame(const wire::Frame& frame, CommandBatch& batch) {
  if (state_ == State::kHello) return take_hello(frame);
  if (frame.is_answer()) return take_answer(frame);
  if (!is_asked_by_client(frame.kind)) {
    return answer_error(frame.request, frame.kind,
                        {ErrorCode::kUnknownRequest, "only the broker asks this"});
  }
  auto request = thread_.codec().decode_request(frame);
  if (!request) return answer_error(frame.request, frame.kind, request.error());
  if (answer_here(frame.request, *request)) return;
  if (in_flight_ >= window_) {
    return answer_error(
        frame.request, frame.kind,
        {ErrorCode::kWindowExceeded, std::to_string(window_) + " requests are in flight"});
  }
  if (std::holds_alternative<StatsRequest>(*request)) {
    ++in_flight_;
    return thread_.ask_stats(id_, frame.request);
  }
  Command& command = batch.commands.emplace_back();
  command.session = id_;
  command.request = frame.request;
  command.body = *std::move(request);
  if (auto taken = take_block(frame, command); !taken) {
    batch.commands.pop_back();
    return answer_error(frame.request, frame.kind, taken.error());
  }
  ++in_flight_;
}

Result<void> Session::take_block(const wire::Frame& frame, Command& command) {
  const auto* send = std::get_if<SendRequest>(&command.body);
  const bool is_prepare = std::holds_alternative<PrepareRequest>(command.body);
  if (!is_prepare && send == nullptr) return {};
  TALLY_TRY(const MessageBlock block, MessageBlock::parse(frame.payload));
  command.block = block.bytes();
  command.block_checksum = block.checksum();
  command.route_hash = block.route_hash();
  command.tag_hash = block.tag_hash();
  if (is_prepare || send->producer != 0) command.content_digest = block.content_digest();
  return {};
}

bool Session::answer_here(RequestId request, const Request& body) {
  if (std::holds_alternative<PingRequest>(body)) {
    const PingResponse response{system_clock().wall_ms()};
    thread_.codec().append_response(request, response, {}, out());
    add(thread_.wiring().counters->replies, 1);
    return true;
  }
  if (std::holds_alternative<HelloRequest>(body)) {
    answer_error(request, static_cast<std::uint8_t>(RequestKind::kHello),
                 {ErrorCode::kHelloRequired, "this connection said Hello before"});
    return true;
  }
  return false;
}

void Session::take_answer(const wire::Frame& frame) {
  if (static_cast<RequestKind>(frame.kind) != RequestKind::kCheck) {
    return fail(frame.request, frame.kind,
                {ErrorCode::kBadFrame, "an answer to nothing that was asked"});
  }
  if (!frame.is_error()) thread_.receipt(id_, frame.request.value);
}

void Session::take_hello(const wire::Frame& frame) {
  if (frame.is_answer() || static_cast<RequestKind>(frame.kind) != RequestKind::kHello) {
    return fail(frame.request, frame.kind,
                {ErrorCode::kHelloRequired, "the first request is not Hello"});
  }
  auto request = thread_.codec().decode_request(frame);
  if (!request) return fail(frame.request, frame.kind, request.error());
  greet(frame.request, std::get<HelloRequest>(*request));
}

void Session::greet(RequestId request, const HelloRequest& hello) {
  if (hello.version_min > kVersionMax || hello.version_max < kVersionMin) {
    return fail(request, static_cast<std::uint8_t>(RequestKind::kHello),
                {ErrorCode::kUnsupportedVersion,
                 "the client speaks protocol versions " + std::to_string(hello.version_min) +
                     " to " + std::to_string(hello.version_max) + ", this broker speaks 1"});
  }
  const Wiring& wiring = thread_.wiring();
  const std::uint32_t window_max = wiring.settings.window;
  window_ = hello.window == 0 ? window_max : std::min(hello.window, window_max);
  state_ = State::kOpen;
  greeted_ = true;
  decoder_.set_frame_bytes_max(limits::kFrameBytesMax);
  wiring.connections->greeted(address_);
  thread_.opened(id_, hello.client);

  HelloResponse response;
  response.version = kVersionMax;
  response.session = id_;
  response.log = wiring.log_id;
  response.shard = wiring.shard;
  response.term = wiring.term;
  response.window = window_;
  response.frame_bytes_max = limits::kFrameBytesMax;
  response.broker_time_ms = system_clock().wall_ms();
  response.ping_ms = limits::kPingMs;
  response.first_check_ms = wiring.settings.core.first_check_ms;
  response.transaction_lifetime_ms = wiring.settings.core.transaction_lifetime_ms;
  thread_.codec().append_response(request, response, {}, out());
  add(wiring.counters->replies, 1);
}

void Session::fail(RequestId request, std::uint8_t kind, const Error& error) {
  spdlog::info("session {} from {} is closed: {}", id_.value, address_, to_string(error));
  answer_error(request, kind, error);
  close_orderly();
}

// A socket that is closed with unread bytes resets the connection, and the client may lose what was written last. So the
// sending side is closed first and reading goes on until the client closes, or for closing_ms.
void Session::close_orderly() {
  if (state_ >= State::kClosing) return;
  state_ = State::kClosing;
  since_ms_ = thread_.now_ms();
  waiting_grants_.clear();
  out();  // flush() does the rest
  wait_readable();
}

void Session::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  waiting_grants_.clear();
  asio::error_code ignored;
  socket_.close(ignored);
  thread_.wiring().connections->closed(address_, greeted_);
  thread_.closed(id_, greeted_);
}

void Session::sweep(std::int64_t now_ms) {
  const SessionLimits& limits = thread_.wiring().session;
  const auto too_slow = [&](const char* what) {
    fail(RequestId{}, 0, {ErrorCode::kConnectionTimeout, what});
  };
  if (state_ >= State::kClosing) {
    if (now_ms - since_ms_ > limits.closing_ms) close();
  } else if (!may_read()) {
    received_ms_ = frame_since_ms_ =
        now_ms;  // time during which the broker does not read is not the client's
  } else if (state_ == State::kHello && now_ms - since_ms_ > limits.hello_ms) {
    too_slow("no Hello came in time");
  } else if (receive_.has_rest() && now_ms - frame_since_ms_ > limits.frame_ms) {
    too_slow("a frame was begun and not completed in time");
  } else if (now_ms - received_ms_ > limits.idle_ms) {
    too_slow("nothing was received, not even a ping");
  }
}

}  // namespace tally::broker
