#include "tests/consumer/fake_broker.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/base/message_block.h"
#include "protocol/base/random.h"

namespace tally::testing {
namespace {

constexpr int kTickMs = 2;
std::int64_t now_ms() { return system_clock().boot_ms(); }

int listen_on_free_port(std::uint16_t& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  if (fd < 0 || ::bind(fd, raw, size) != 0 || ::listen(fd, 16) != 0 ||
      ::getsockname(fd, raw, &size) != 0) {
    throw std::runtime_error("the fake broker cannot listen");
  }
  port = ntohs(address.sin_port);
  return fd;
}

}  // namespace

FakeBroker::FakeBroker() : log_(random_log_id()), listener_(listen_on_free_port(port_)) {
  thread_ = std::thread([this] { run(); });
}

FakeBroker::~FakeBroker() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  thread_.join();
  for (const auto& [fd, session] : sessions_) ::close(fd);
  ::close(listener_);
}

void FakeBroker::add(const std::string& body, const std::string& key) {
  Stored stored;
  append_message_block({.key = key, .body = body}, 0, stored.block).value();
  const std::lock_guard lock(mutex_);
  messages_.push_back(std::move(stored));
}

void FakeBroker::cut() {
  const std::lock_guard lock(mutex_);
  cut_ = true;
}

void FakeBroker::swallow_next_settle() {
  const std::lock_guard lock(mutex_);
  swallow_ = true;
}

void FakeBroker::damage_next_block() {
  const std::lock_guard lock(mutex_);
  damage_ = true;
}

void FakeBroker::deliver_again(std::size_t offset) {
  const std::lock_guard lock(mutex_);
  messages_.at(offset).state = Stored::State::kReady;
  messages_.at(offset).at_ms = 0;
  ++messages_.at(offset).attempt;
}

FakeBroker::Counts FakeBroker::counts() {
  const std::lock_guard lock(mutex_);
  return counts_;
}

bool FakeBroker::wait(const std::function<bool(const Counts&)>& reached) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return reached(counts_); });
}

void FakeBroker::run() {
  std::vector<pollfd> polled;
  while (true) {
    polled.assign(1, {listener_, POLLIN, 0});
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
      for (const auto& [fd, session] : sessions_) {
        const int events = session.out.empty() ? POLLIN : POLLIN | POLLOUT;
        polled.push_back({fd, static_cast<short>(events), 0});
      }
    }
    ::poll(polled.data(), polled.size(), kTickMs);

    const std::lock_guard lock(mutex_);
    if ((polled[0].revents & POLLIN) != 0) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) sessions_[fd], ++counts_.connections;
    }
    for (const pollfd& one : polled) {
      const auto session = sessions_.find(one.fd);
      if (session != sessions_.end() && (one.revents & ~POLLOUT) != 0 &&
          !read(one.fd, session->second)) {
        end(one.fd);
      }
    }
    serve_all();
    changed_.notify_all();
  }
}

void FakeBroker::serve_all() {
  expire();
  std::vector<int> ended;
  for (auto& [fd, session] : sessions_) {
    session.waiting.remove_if(
        [&, f = fd, s = &session](const Waiting& waiting) { return grant(f, *s, waiting); });
    const ssize_t sent = ::send(fd, session.out.data(), session.out.size(), MSG_NOSIGNAL);
    if (sent > 0) session.out.erase(0, static_cast<std::size_t>(sent));
    if (cut_ || session.ends) ended.push_back(fd);
  }
  cut_ = false;
  for (const int fd : ended) end(fd);
  counts_.waiting = 0;
  for (const auto& [fd, session] : sessions_) {
    counts_.waiting += static_cast<std::uint32_t>(session.waiting.size());
  }
  const auto leased = [](const Stored& one) { return one.state == Stored::State::kLeased; };
  counts_.leased = static_cast<std::uint32_t>(std::ranges::count_if(messages_, leased));
}

bool FakeBroker::read(int fd, Session& session) {
  char buffer[65'536];
  const ssize_t size = ::recv(fd, buffer, sizeof buffer, 0);
  if (size <= 0) return false;
  session.in.append(buffer, static_cast<std::size_t>(size));
  const wire::FrameDecoder decoder(limits::kFrameBytesMax);
  while (true) {
    const auto step = decoder.next(session.in).value();
    if (!step.frame) return true;
    serve(fd, session, *step.frame);
    session.in.erase(0, step.consumed);
  }
}

void FakeBroker::serve(int fd, Session& session, const wire::Frame& frame) {
  const Request request = codec_.decode_request(frame).value();
  Response response;
  if (std::holds_alternative<HelloRequest>(request)) {
    HelloResponse hello;
    hello.session = SessionId{static_cast<std::uint64_t>(fd)};
    hello.log = log_;
    hello.window = limits::kWindow;
    hello.frame_bytes_max = limits::kFrameBytesMax;
    hello.ping_ms = limits::kPingMs;
    response = hello;
  } else if (const auto* receive = std::get_if<ReceiveRequest>(&request)) {
    session.waiting.push_back({frame.request, *receive, now_ms() + receive->wait_ms});
    return;
  } else if (const auto* settled = std::get_if<SettleRequest>(&request)) {
    response = settle(session, *settled);
  } else if (const auto* extended = std::get_if<ExtendLeaseRequest>(&request)) {
    response = extend(fd, *extended);
  } else {
    response = PingResponse{};
  }
  if (!session.ends) codec_.append_response(frame.request, response, {}, session.out);
}

Response FakeBroker::settle(Session& session, const SettleRequest& request) {
  SettleResponse response;
  for (const SettleItem& item : request.items) {
    Stored& stored = messages_.at(item.offset.value);
    if (stored.state == Stored::State::kDone || stored.attempt != item.attempt) {
      ++counts_.refused_settles;
      response.results.push_back(ErrorCode::kLeaseLost);
      continue;
    }
    response.results.push_back(ErrorCode::kOk);
    stored.state = Stored::State::kDone;
    if (item.action == SettleAction::kAck) ++counts_.acked;
    if (item.action == SettleAction::kDeadLetter) ++counts_.dead;
    if (item.action != SettleAction::kNack) continue;
    ++counts_.nacked;
    stored.state = Stored::State::kReady;
    ++stored.attempt;
    stored.at_ms = now_ms() + std::max<std::int64_t>(item.delay_ms, 0);
  }
  session.ends = session.ends || swallow_;
  swallow_ = false;
  return response;
}

Response FakeBroker::extend(int fd, const ExtendLeaseRequest& request) {
  ExtendLeaseResponse response;
  for (const LeaseItem& item : request.items) {
    Stored& stored = messages_.at(item.offset.value);
    const bool valid = stored.state == Stored::State::kLeased && stored.owner == fd &&
                       stored.attempt == item.attempt;
    if (valid) stored.at_ms = now_ms() + (request.lease_ms > 0 ? request.lease_ms : 30'000);
    response.results.push_back(valid ? ErrorCode::kOk : ErrorCode::kLeaseLost);
  }
  ++counts_.extensions;
  return response;
}

bool FakeBroker::grant(int fd, Session& session, const Waiting& waiting) {
  const std::int64_t now = now_ms();
  ReceiveResponse response;
  response.lease_ms = waiting.request.lease_ms > 0 ? waiting.request.lease_ms : 30'000;
  std::string payload;
  for (std::size_t i = 0; i < messages_.size(); ++i) {
    Stored& stored = messages_[i];
    if (response.deliveries.size() == waiting.request.messages_max) break;
    if (stored.state != Stored::State::kReady || stored.at_ms > now) continue;
    stored.state = Stored::State::kLeased;
    stored.owner = fd;
    stored.at_ms = now + response.lease_ms;
    ++counts_.grants;
    response.deliveries.push_back({Lsn{1'000 + i}, QueueId{0}, Offset{i}, stored.attempt,
                                   static_cast<std::uint32_t>(stored.block.size())});
    payload += stored.block;
    if (damage_) payload[payload.size() - 9] ^= 1;
    damage_ = false;
  }
  if (response.deliveries.empty() && now < waiting.until_ms) return false;
  codec_.append_response(waiting.id, Response(response), payload, session.out);
  return true;
}

void FakeBroker::expire() {
  for (Stored& stored : messages_) {
    if (stored.state != Stored::State::kLeased || now_ms() < stored.at_ms) continue;
    stored.state = Stored::State::kReady;
    ++stored.attempt;
    ++counts_.expired;
  }
}

void FakeBroker::end(int fd) {
  for (Stored& stored : messages_) {
    if (stored.state != Stored::State::kLeased || stored.owner != fd) continue;
    stored.state = Stored::State::kReady;
    stored.at_ms = 0;
  }
  ::close(fd);
  sessions_.erase(fd);
}

}  // namespace tally::testing
