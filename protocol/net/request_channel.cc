#include "protocol/net/request_channel.h"

#include <algorithm>

#include "protocol/base/check.h"
#include "protocol/base/limits.h"

namespace tally::net {

namespace {
// Ids below generation 1 of the table: the channel's own requests.
constexpr RequestId kHelloId{1};
constexpr RequestId kPingId{2};

constexpr std::size_t kWriteBytes = 1u << 20;
constexpr std::size_t kControlBytesMax = 64u << 10;
constexpr std::int64_t kTimeoutMsMax = std::int64_t{1} << 40;  // 35 years: keeps sums in range

Error broken(std::string what) { return {ErrorCode::kBadFrame, std::move(what)}; }
}  // namespace

RequestChannel::RequestChannel(const ClientOptions& options, Client::Callbacks callbacks,
                               std::int64_t now_us)
    : options_(options),
      callbacks_(std::move(callbacks)),
      decoder_(limits::kFrameBytesBeforeHelloMax),
      table_(options.requests_max, now_us),
      frame_bytes_max_(limits::kFrameBytesMax) {}

void RequestChannel::refuse(AnswerCallback&& callback, Error error) {
  refusals_.push_back({std::move(callback), std::move(error)});
}

bool RequestChannel::deliver_refusals() {
  const bool any = !refusals_.empty();
  // A callback may ask again and be refused again.
  while (!refusals_.empty()) {
    std::vector<Refusal> refusals;
    refusals.swap(refusals_);
    for (Refusal& refusal : refusals) refusal.callback(std::move(refusal.error));
  }
  return any;
}

void RequestChannel::ask(const Request& request, std::string_view block, std::int64_t timeout_ms,
                         AnswerCallback&& callback, std::int64_t now_us) {
  const auto refuse_with = [&](ErrorCode code, const char* message) {
    refuse(std::move(callback), Error(code, message));
  };
  if (phase_ == Phase::kClosed) return refuse(std::move(callback), Error(closed_because_));
  if (request.index() == 0 || timeout_ms <= 0) {
    return refuse_with(ErrorCode::kInvalidArgument, "a request needs a kind and time");
  }
  if (table_.full()) return refuse_with(ErrorCode::kOverloaded, "too many requests are open");
  if (block.size() > frame_bytes_max_) {
    return refuse_with(ErrorCode::kFrameTooLarge, "the payload is larger than a frame may be");
  }
  if (queued_bytes() + block.size() > options_.write_bytes_max) {
    return refuse_with(ErrorCode::kOverloaded, "too many bytes wait to be written");
  }
  const std::int64_t deadline_us = now_us + std::min(timeout_ms, kTimeoutMsMax) * 1000;
  const RequestId id = table_.add(kind_of(request), deadline_us, std::move(callback));
  codec_.append_request(id, request, block, waiting_.tail());
  const std::size_t frame_bytes = waiting_.appended();
  const bool too_large = frame_bytes > frame_bytes_max_;
  if (too_large || queued_bytes() + frame_bytes > options_.write_bytes_max) {
    waiting_.undo();
    callback = table_.refuse(id);
    return too_large
               ? refuse_with(ErrorCode::kFrameTooLarge, "the request is larger than a frame may be")
               : refuse_with(ErrorCode::kOverloaded, "too many bytes wait to be written");
  }
  waiting_.push(id);
  table_.set_frame_bytes(id, static_cast<std::uint32_t>(frame_bytes));
}

void RequestChannel::connected(std::int64_t now_us) {
  TALLY_CHECK(phase_ == Phase::kDisconnected);
  phase_ = Phase::kHello;
  last_received_us_ = last_ping_us_ = now_us;
  decoder_.set_frame_bytes_max(limits::kFrameBytesBeforeHelloMax);
  codec_.append_request(kHelloId, options_.hello, {}, control_);
}

Result<RequestChannel::Received> RequestChannel::received(std::string_view bytes,
                                                          std::int64_t now_us) {
  last_received_us_ = now_us;
  std::size_t consumed = 0;
  for (;;) {
    TALLY_TRY(const auto step, decoder_.next(bytes.substr(consumed)));
    if (!step.frame) return Received{consumed, step.needed};
    TALLY_TRY_VOID(serve(*step.frame));
    consumed += step.consumed;
  }
}

Result<void> RequestChannel::serve(const wire::Frame& frame) {
  if (frame.is_answer() && frame.is_error() && frame.request.value == 0) {
    // Not the answer to a request: why the broker is about to hang up.
    Result<Response> why = codec_.decode_response(frame);
    return why ? broken("an answer to no request") : std::move(why).error();
  }
  if (phase_ == Phase::kHello) return serve_hello_answer(frame);
  return frame.is_answer() ? serve_answer(frame) : serve_request(frame);
}

Result<void> RequestChannel::serve_hello_answer(const wire::Frame& frame) {
  if (!frame.is_answer() || frame.request != kHelloId) {
    return broken("the broker did not answer Hello first");
  }
  TALLY_TRY(const Response response, codec_.decode_response(frame));
  const auto* hello = std::get_if<HelloResponse>(&response);
  if (hello == nullptr) return broken("the answer to Hello is of another kind");
  if (hello->version < options_.hello.version_min || hello->version > options_.hello.version_max) {
    return Error(ErrorCode::kUnsupportedVersion,
                 "the broker chose protocol version " + std::to_string(hello->version));
  }
  phase_ = Phase::kReady;
  window_ = std::max(hello->window, 1u);
  const std::uint64_t frame_bytes_max =
      hello->frame_bytes_max > 0 ? hello->frame_bytes_max : limits::kFrameBytesMax;
  frame_bytes_max_ = std::min<std::uint64_t>(frame_bytes_max, limits::kFrameBytesMax);
  decoder_.set_frame_bytes_max(
      std::max(frame_bytes_max_, std::size_t{limits::kFrameBytesBeforeHelloMax}));
  ping_us_ =
      (hello->ping_ms > 0 ? std::min(hello->ping_ms, kTimeoutMsMax) : limits::kPingMs) * 1000;
  if (callbacks_.on_connected) callbacks_.on_connected(*hello);
  return {};
}

Result<void> RequestChannel::serve_answer(const wire::Frame& frame) {
  if (frame.request == kPingId) return {};  // that it came is all it says
  const auto request = table_.find_flying(frame.request);
  if (!request) return broken("an answer to a request that was never sent, or was answered before");
  if (request->abandoned) {
    table_.answer(frame.request);
    return {};
  }
  Result<Response> response = codec_.decode_response(frame);
  if (response) {
    if (kind_of(*response) != request->kind) return broken("an answer is of another kind");
  } else if (!frame.is_error()) {
    // The request may have taken effect: it must not end with the definite error of a decoder.
    return broken("an answer does not decode: " + response.error().message);
  }
  const AnswerCallback callback = table_.answer(frame.request);
  if (response) {
    callback(Answer{*std::move(response), frame.payload});
  } else {
    callback(std::move(response).error());
  }
  return {};
}

Result<void> RequestChannel::serve_request(const wire::Frame& frame) {
  if (control_.size() > kControlBytesMax) {
    return Error(ErrorCode::kOverloaded, "the broker asks, but does not read the answers");
  }
  Result<Request> request = codec_.decode_request(frame);
  if (!request) {
    codec_.append_error(frame.request, frame.kind, request.error(), control_);
  } else if (std::holds_alternative<PingRequest>(*request)) {
    codec_.append_response(frame.request, PingResponse{}, {}, control_);
  } else if (auto* check = std::get_if<CheckRequest>(&*request); check && callbacks_.on_check) {
    codec_.append_response(frame.request, CheckResponse{}, {}, control_);
    callbacks_.on_check(std::move(*check));
  } else {
    codec_.append_error(frame.request, frame.kind,
                        Error(ErrorCode::kUnknownRequest, "this client does not serve it"),
                        control_);
  }
  return {};
}

std::string_view RequestChannel::start_write() {
  if (!writing_.empty() || phase_ == Phase::kDisconnected || phase_ == Phase::kClosed) return {};
  if (!control_.empty()) writing_.swap(control_);
  if (phase_ == Phase::kReady) {
    const std::size_t control_bytes = writing_.size();
    std::size_t taken_bytes = 0;
    waiting_.take(
        writing_,
        [&] { return table_.flying() < window_ && control_bytes + taken_bytes < kWriteBytes; },
        [&](RequestId id, std::size_t size) {
          if (!table_.is_waiting(id)) return false;
          if (size > frame_bytes_max_) {  // encoded before this broker named its limit
            waiting_.drop(size);
            refuse(table_.refuse(id), Error(ErrorCode::kFrameTooLarge,
                                            "the request is larger than this broker takes"));
            return false;
          }
          table_.fly(id);
          taken_bytes += size;
          return true;
        });
  }
  return writing_;
}

void RequestChannel::disconnected(const Error& why) {
  phase_ = Phase::kDisconnected;
  why_disconnected_ = why.message;
  control_.clear();
  clear_buffer(writing_);
  for (RequestTable::Ended& ended : table_.take_flying()) {
    ended.callback(Error(ErrorCode::kDisconnected, "the connection was lost: " + why.message));
  }
  if (callbacks_.on_disconnected) callbacks_.on_disconnected(why);
}

void RequestChannel::close() { end_all({ErrorCode::kClosed, "the client was stopped"}); }

void RequestChannel::give_up(const Error& why) { end_all({ErrorCode::kUnreachable, why.message}); }

void RequestChannel::end_all(Error because) {
  phase_ = Phase::kClosed;
  closed_because_ = std::move(because);
  control_.clear();
  for (RequestTable::Ended& ended : table_.take_all()) {
    ended.callback(Error(closed_because_));
  }
  deliver_refusals();
}

Result<void> RequestChannel::tick(std::int64_t now_us) {
  while (auto ended = table_.pop_expired(now_us)) {
    if (ended->was_flying) {
      ended->callback(Error(ErrorCode::kTimeout, "no answer in time"));
      continue;
    }
    waiting_.drop(ended->frame_bytes);
    ended->callback(
        Error(ErrorCode::kUnreachable, ready() ? "not sent in time: the broker answers too slowly"
                                               : "not sent in time: " + why_disconnected_));
  }
  waiting_.compact([this](RequestId id) { return table_.is_waiting(id); });
  if (!ready()) return {};
  const std::int64_t silent_us = now_us - last_received_us_;
  if (silent_us >= limits::kPingsMissedMax * ping_us_) {
    return Error(ErrorCode::kDisconnected,
                 "nothing was received for " + std::to_string(silent_us / 1000) + " ms");
  }
  if (now_us >= std::max(last_received_us_, last_ping_us_) + ping_us_) {
    last_ping_us_ = now_us;
    codec_.append_request(kPingId, PingRequest{}, {}, control_);
  }
  return {};
}

std::int64_t RequestChannel::next_tick_us() const {
  if (!ready()) return table_.next_due_us();
  const std::int64_t ping_us = std::min(std::max(last_received_us_, last_ping_us_) + ping_us_,
                                        last_received_us_ + limits::kPingsMissedMax * ping_us_);
  return std::min(table_.next_due_us(), ping_us);
}

}  // namespace tally::net
