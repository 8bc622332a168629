#include "tests/server/raw_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "protocol/base/limits.h"
#include "protocol/base/message_block.h"
#include "protocol/net/client.h"

namespace tally::testing {
namespace {

constexpr int kDeadlineSeconds = 20;

}  // namespace

RawClient::RawClient(const std::string& address) : decoder_(limits::kFrameBytesMax) {
  const net::Address to = net::parse_address(address).value();
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(socket_ >= 0);
  const timeval deadline{kDeadlineSeconds, 0};
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
  setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
  const int on = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in peer{};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(to.port);
  REQUIRE(inet_pton(AF_INET, to.host.c_str(), &peer.sin_addr) == 1);
  REQUIRE(::connect(socket_, reinterpret_cast<sockaddr*>(&peer), sizeof peer) == 0);
}

RawClient::~RawClient() { ::close(socket_); }

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

std::string RawClient::frame(RequestId id, const Request& request, std::string_view block) {
  std::string bytes;
  codec_.append_request(id, request, block, bytes);
  return bytes;
}

RequestId RawClient::send(const Request& request, std::string_view block) {
  const RequestId id(next_id_++);
  send(frame(id, request, block));
  return id;
}

std::optional<RawClient::Received> RawClient::receive() {
  for (;;) {
    const auto step = decoder_.next(received_).value();
    if (step.frame) {
      Received got;
      got.id = step.frame->request;
      got.kind = step.frame->kind;
      got.is_answer = step.frame->is_answer();
      got.payload = std::string(step.frame->payload);
      if (got.is_answer) {
        got.response = codec_.decode_response(*step.frame);
      } else {
        got.request = codec_.decode_request(*step.frame).value();
      }
      received_.erase(0, step.consumed);
      return got;
    }
    char bytes[65536];
    const ssize_t size = ::recv(socket_, bytes, sizeof bytes, 0);
    if (size < 0 && errno == EAGAIN) FAIL("nothing was received in time");
    if (size <= 0) return std::nullopt;
    received_.append(bytes, static_cast<std::size_t>(size));
  }
}

RawClient::Received RawClient::ask(const Request& request, std::string_view block) {
  const RequestId id = send(request, block);
  for (;;) {
    auto got = receive();
    if (!got) FAIL("the connection was closed instead of an answer");
    if (got->is_answer && got->id == id) return *std::move(got);
  }
}

HelloResponse RawClient::hello(std::uint32_t window) {
  HelloRequest request;
  request.client = "tester";
  request.window = window;
  return get<HelloResponse>(request);
}

bool RawClient::is_closed_by_peer() {
  while (receive()) {
  }
  return true;
}

std::string block_of(std::string body, std::string key) {
  Message message;
  message.key = std::move(key);
  message.body = std::move(body);
  std::string block;
  append_message_block(message, 1, block).value();
  return block;
}

}  // namespace tally::testing
