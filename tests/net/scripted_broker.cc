#include "tests/net/scripted_broker.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "protocol/base/limits.h"

namespace tally::net {

namespace {
constexpr int kDeadlineMs = 20'000;

void require(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(std::string("scripted broker: ") + what);
}

void wait_readable(int fd) {
  pollfd waiting{fd, POLLIN, 0};
  require(::poll(&waiting, 1, kDeadlineMs) == 1, "nothing happened within the deadline");
}
}  // namespace

ScriptedConnection::ScriptedConnection(ScriptedConnection&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), received_(std::move(other.received_)) {}

ScriptedConnection::~ScriptedConnection() { close(); }

void ScriptedConnection::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

bool ScriptedConnection::fill() {
  wait_readable(fd_);
  char bytes[64 << 10];
  const ssize_t size = ::recv(fd_, bytes, sizeof bytes, 0);
  if (size <= 0) return false;
  received_.append(bytes, static_cast<std::size_t>(size));
  return true;
}

std::optional<ScriptedConnection::Asked> ScriptedConnection::next() {
  const auto step = wire::FrameDecoder(limits::kFrameBytesMax).next(received_).value();
  if (!step.frame) return std::nullopt;
  Asked asked{step.frame->request,
              step.frame->kind,
              step.frame->flags,
              {},
              std::string(step.frame->payload)};
  if (!step.frame->is_answer()) asked.request = codec.decode_request(*step.frame).value();
  received_.erase(0, step.consumed);
  return asked;
}

ScriptedConnection::Asked ScriptedConnection::read() {
  for (;;) {
    if (auto asked = next()) return *std::move(asked);
    require(fill(), "the client hung up");
  }
}

std::vector<ScriptedConnection::Asked> ScriptedConnection::read_batch() {
  std::vector<Asked> batch;
  while (batch.empty()) {
    if (received_.empty() && !fill()) return batch;
    while (auto asked = next()) batch.push_back(*std::move(asked));
    if (batch.empty() && !fill()) return batch;
  }
  return batch;
}

bool ScriptedConnection::client_hung_up() {
  while (fill()) received_.clear();
  return true;
}

void ScriptedConnection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;  // the client hung up: the test sees that elsewhere
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void ScriptedConnection::answer(RequestId id, const Response& response) {
  std::string bytes;
  codec.append_response(id, response, {}, bytes);
  send(bytes);
}

void ScriptedConnection::refuse(const Asked& asked, const Error& error) {
  std::string bytes;
  codec.append_error(asked.id, asked.kind, error, bytes);
  send(bytes);
}

void ScriptedConnection::ask(RequestId id, const Request& request) {
  std::string bytes;
  codec.append_request(id, request, {}, bytes);
  send(bytes);
}

void ScriptedConnection::welcome(HelloResponse hello) {
  const Asked asked = read();
  require(std::holds_alternative<HelloRequest>(asked.request), "the client did not say Hello");
  answer(asked.id, hello);
}

ScriptedBroker::ScriptedBroker() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  require(::bind(fd_, generic, size) == 0 && ::listen(fd_, 64) == 0, "cannot listen");
  require(::getsockname(fd_, generic, &size) == 0, "cannot name the port");
  port_ = ntohs(address.sin_port);
}

ScriptedBroker::~ScriptedBroker() { ::close(fd_); }

ScriptedConnection ScriptedBroker::accept() {
  wait_readable(fd_);
  const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
  require(fd >= 0, "cannot accept");
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return ScriptedConnection(fd);
}

void ScriptedBroker::stop_listening() { ::shutdown(fd_, SHUT_RDWR); }

void Events::add(std::string line) {
  const std::lock_guard lock(mutex_);
  lines_.push_back(std::move(line));
  added_.notify_all();
}

void Events::wait_for(std::string_view line, std::size_t count) {
  std::unique_lock lock(mutex_);
  const bool seen = added_.wait_for(lock, std::chrono::milliseconds(kDeadlineMs), [&] {
    return static_cast<std::size_t>(std::count(lines_.begin(), lines_.end(), line)) >= count;
  });
  if (seen) return;
  std::string what = "no '" + std::string(line) + "' within the deadline; there was:";
  for (const std::string& one : lines_) what += "\n  " + one;
  throw std::runtime_error(what);
}

std::vector<std::string> Events::all() const {
  const std::lock_guard lock(mutex_);
  return lines_;
}

std::size_t Events::count(std::string_view line) const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(std::count(lines_.begin(), lines_.end(), line));
}

Client::Callbacks log_into(Events& events) {
  return {[&](const HelloResponse&) { events.add("connected"); },
          [&](const Error& error) { events.add("lost " + std::string(name(error.code))); },
          [&](CheckRequest&& check) { events.add("check " + check.transaction); }};
}

Client::AnswerCallback log_into(Events& events, std::string mark) {
  return [&events, mark = std::move(mark)](Result<Answer>&& answer) {
    events.add(mark + " " + std::string(answer ? "ok" : name(answer.error().code)));
  };
}

}  // namespace tally::net
