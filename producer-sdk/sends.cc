#include "producer-sdk/sends.h"

#include <algorithm>
#include <utility>

#include "protocol/base/check.h"

namespace tally {

void Sends::add(New&& send) { sends_.push_back({std::move(send)}); }

void Sends::connected(LogId log) {
  const bool same_log = !log_ || *log_ == log;
  log_ = log;
  connected_ = true;
  next_ = 0;
  if (same_log) return;
  for (Send& send : sends_) {
    if (send.state != State::kWaiting || !send.may_be_stored) continue;
    end(send, Error(ErrorCode::kDisconnected,
                    "the broker serves another log now; the one before it may have the message"));
  }
  pop_ended();
}

void Sends::disconnected(const Error& why) {
  connected_ = false;
  why_disconnected_ = why.message;
}

std::optional<Sends::Ask> Sends::next(std::int64_t now_ms) {
  if (!connected_) return std::nullopt;
  const std::size_t window = std::min(sends_.size(), kWindow);
  while (next_ < window && sends_[next_].state != State::kWaiting) ++next_;
  if (next_ >= window) return std::nullopt;
  Send& send = sends_[next_];
  send.state = State::kAsked;
  return Ask{
      .request = {.topic = send.topic, .producer = producer_, .sequence = first_sequence_ + next_},
      .block = send.block,
      .timeout_ms = std::max<std::int64_t>(send.deadline_ms - now_ms, 1)};
}

void Sends::answered(std::int64_t now_ms, std::uint64_t sequence, Result<SendResponse>&& answer) {
  Send& send = sends_[sequence - first_sequence_];
  TALLY_CHECK(send.state == State::kAsked);
  if (answer) {
    end(send, SendReceipt{{*log_, answer->lsn}, answer->queue, answer->offset});
  } else if (answer.error().code == ErrorCode::kDisconnected) {
    send.may_be_stored = true;
    send.state = State::kWaiting;
  } else {
    end(send, std::move(answer).error());
  }
  tick(now_ms);
}

void Sends::tick(std::int64_t now_ms) {
  pop_ended();
  while (!sends_.empty() && sends_.front().state == State::kWaiting &&
         sends_.front().deadline_ms <= now_ms) {
    end(sends_.front(), Error(ErrorCode::kUnreachable,
                              "not sent in time: " + (connected_ ? "the broker answers too slowly"
                                                                 : why_disconnected_)));
    pop_ended();
  }
}

std::int64_t Sends::next_tick_ms() const {
  if (sends_.empty() || sends_.front().state != State::kWaiting) return kNever;
  return sends_.front().deadline_ms;
}

void Sends::close() {
  connected_ = false;
  for (Send& send : sends_) {
    if (send.state == State::kWaiting) {
      end(send, Error(ErrorCode::kClosed, "the producer was stopped"));
    }
  }
  pop_ended();
}

void Sends::end(Send& send, Result<SendReceipt>&& result) {
  if (!result && send.may_be_stored && outcome(result.error().code) == Outcome::kDefinite) {
    result = Error(ErrorCode::kDisconnected, "the connection was lost, and the repeat ended with " +
                                                 std::string(name(result.error().code)) + ": " +
                                                 result.error().message);
  }
  send.state = State::kEnded;
  ended_.push_back({std::move(send.callback), std::move(result), send.block.size()});
  send.topic = std::string();
  send.block = std::string();
}

void Sends::pop_ended() {
  while (!sends_.empty() && sends_.front().state == State::kEnded) {
    sends_.pop_front();
    ++first_sequence_;
    next_ -= std::min<std::size_t>(next_, 1);
  }
}

}  // namespace tally
