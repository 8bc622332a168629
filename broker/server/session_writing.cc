// What a session writes: answers, grants with their blocks, checks.

#include <spdlog/spdlog.h>

#include <asio/buffer.hpp>
#include <utility>

#include "broker/server/io_thread.h"
#include "broker/server/session.h"

namespace tally::broker {

void Session::answer(const Reply& reply) {
  if (state_ != State::kOpen) return;
  --in_flight_;
  if (reply.result) {
    thread_.codec().append_response(reply.request, *reply.result, {}, out());
    add(thread_.wiring().counters->replies, 1);
  } else {
    answer_error(reply.request, static_cast<std::uint8_t>(reply.kind), reply.result.error());
  }
}

void Session::answer(Grant&& grant) {
  if (state_ != State::kOpen) return;
  if (cold_read_ || unsent() > thread_.wiring().session.unsent_soft_bytes) {
    waiting_grants_.push_back(std::move(grant));
  } else {
    write_grant(std::move(grant));
  }
}

void Session::write_grant(Grant&& grant) {
  const Wiring& wiring = thread_.wiring();
  std::string& to = out();
  const std::size_t before = to.size();
  const auto give_up = [&](const Error& error) {
    spdlog::error("a message cannot be delivered: {}", to_string(error));
    to.resize(before);
    --in_flight_;
    answer_error(grant.request, static_cast<std::uint8_t>(RequestKind::kReceive), error);
  };
  std::size_t payload = 0;
  for (const DeliveryHeader& delivery : grant.response.deliveries) payload += delivery.block_bytes;
  Response response(std::move(grant.response));
  thread_.codec().append_response_header(grant.request, response, payload, to);
  grant.response = std::get<ReceiveResponse>(std::move(response));
  const std::size_t end = to.size() + payload;
  to.reserve(end);
  bool incomplete = false;
  for (std::size_t i = 0; i < grant.response.deliveries.size();) {
    auto read = wiring.log->read_block(grant.response.deliveries[i].lsn, grant.record_bytes[i],
                                       store::LogReader::Wait::kCachedOnly, to);
    if (!read) {
      // Its lease ends by itself; the others of the answer are not its hostages. What retention took since it was granted
      // is no error.
      const DamagedMessage unreadable = grant.drop(i);
      incomplete = true;
      if (read.error().code == ErrorCode::kExpired) continue;
      wiring.core->put([&](CoreMail& mail) { mail.damaged.push_back(unreadable); });
      if (grant.response.deliveries.empty()) return give_up(read.error());
      spdlog::error("a message cannot be delivered: {}", to_string(read.error()));
      continue;
    }
    if (!*read) {
      to.resize(before);
      cold_read_ = true;
      add(wiring.counters->cold_grants, 1);
      return wiring.index->put(
          [&](IndexMail& mail) { mail.cold_grants.push_back(std::move(grant)); });
    }
    ++i;
  }
  if (incomplete) {  // the header in front counts it: once more without it
    to.resize(before);
    return write_grant(std::move(grant));
  }
  if (to.size() != end)
    return give_up({ErrorCode::kDataDamaged, "a message block has another length than granted"});
  --in_flight_;
  add(wiring.counters->replies, 1);
}

void Session::answer(ReadGrant&& read) {
  if (state_ != State::kOpen) return;
  cold_read_ = false;
  --in_flight_;
  if (!read.payload) {
    spdlog::error("a message cannot be delivered: {}", to_string(read.payload.error()));
    return answer_error(read.grant.request, static_cast<std::uint8_t>(RequestKind::kReceive),
                        read.payload.error());
  }
  thread_.codec().append_response(read.grant.request, std::move(read.grant.response), *read.payload,
                                  out());
  add(thread_.wiring().counters->replies, 1);
}

void Session::ask(const AskCheck& check) {
  if (state_ != State::kOpen) return;
  thread_.codec().append_request(RequestId(check.request.challenge), check.request, {}, out());
}

void Session::answer_error(RequestId request, std::uint8_t kind, const Error& error) {
  thread_.codec().append_error(request, kind, error, out());
  add(thread_.wiring().counters->replies, 1);
}

std::string& Session::out() {
  if (!dirty_) {
    dirty_ = true;
    thread_.mark_dirty(shared_from_this());
    if (out_.empty() && out_.capacity() < 64) out_ = thread_.take_buffer();
  }
  return out_;
}

void Session::flush() {
  dirty_ = false;
  if (state_ >= State::kLingering || write_waiting_) return;
  while (flight_sent_ < flight_.size() || !out_.empty()) {
    if (flight_sent_ == flight_.size()) {
      flight_.clear();
      flight_sent_ = 0;
      std::swap(flight_, out_);
    }
    asio::error_code error;
    const std::size_t bytes = socket_.write_some(
        asio::buffer(flight_.data() + flight_sent_, flight_.size() - flight_sent_), error);
    if (error == asio::error::would_block) {
      write_waiting_ = true;
      socket_.async_wait(asio::socket_base::wait_write,
                         [self = shared_from_this()](const asio::error_code& failed) {
                           self->write_waiting_ = false;
                           if (failed) return self->close();
                           self->flush();
                         });
      break;
    }
    if (error) return close();
    flight_sent_ += bytes;
    add(thread_.wiring().counters->writes, 1);
    add(thread_.wiring().counters->bytes_written, bytes);
    if (unsent() == 0) serve_waiting_grants();
  }
  if (parked_ && may_read()) wait_readable();
  if (unsent() == 0) return written();
  if (unsent() > thread_.wiring().session.unsent_max_bytes) {
    spdlog::warn("session {} reads too slowly: {} bytes wait for it; closed", id_.value, unsent());
    close();
  }
}

void Session::serve_waiting_grants() {
  while (!waiting_grants_.empty() && !cold_read_ &&
         unsent() <= thread_.wiring().session.unsent_soft_bytes) {
    Grant grant = std::move(waiting_grants_.front());
    waiting_grants_.pop_front();
    write_grant(std::move(grant));
  }
}

void Session::written() {
  flight_.clear();
  flight_sent_ = 0;
  thread_.give_buffer(std::exchange(flight_, {}));
  thread_.give_buffer(std::exchange(out_, {}));
  if (state_ != State::kClosing) return;
  state_ = State::kLingering;
  asio::error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

}  // namespace tally::broker
