#include "broker/server/listener.h"

#include <spdlog/spdlog.h>

#include <asio/post.hpp>
#include <future>

#include "protocol/net/client.h"

namespace tally::broker {
namespace {

constexpr auto kRetryAccept = std::chrono::milliseconds(100);  // out of file descriptors

}  // namespace

Listener::Listener(std::span<const std::unique_ptr<IoThread>> io_threads, ConnectionQuota& quota)
    : io_threads_(io_threads),
      quota_(quota),
      acceptor_(io_threads[0]->context()),
      retry_(io_threads[0]->context()) {}

Result<void> Listener::bind(const std::string& address) {
  TALLY_TRY(const net::Address wanted, net::parse_address(address));
  asio::error_code error;
  asio::ip::tcp::resolver resolver(acceptor_.get_executor());
  const auto found = resolver.resolve(wanted.host, std::to_string(wanted.port),
                                      asio::ip::tcp::resolver::passive, error);
  if (error || found.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 "cannot listen on " + address + ": " + error.message()};
  }
  const asio::ip::tcp::endpoint endpoint = found.begin()->endpoint();
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    const bool in_use = error == asio::error::address_in_use;
    return Error{in_use ? ErrorCode::kAddressInUse : ErrorCode::kInvalidArgument,
                 "cannot listen on " + address + ": " + error.message()};
  }
  address_ = wanted.host + ":" + std::to_string(acceptor_.local_endpoint().port());
  if (wanted.host.find(':') != std::string::npos)
    address_ = "[" + wanted.host + "]" + address_.substr(wanted.host.size());
  return {};
}

void Listener::start() {
  asio::post(acceptor_.get_executor(), [this] { accept(); });
}

void Listener::stop() {
  std::promise<void> closed;
  asio::post(acceptor_.get_executor(), [this, &closed] {
    asio::error_code ignored;
    acceptor_.close(ignored);
    retry_.cancel();
    closed.set_value();
  });
  closed.get_future().wait();
}

void Listener::accept() {
  IoThread& thread = *io_threads_[next_++ % io_threads_.size()];
  acceptor_.async_accept(thread.context(), [this, &thread](const asio::error_code& error,
                                                           asio::ip::tcp::socket socket) {
    if (!acceptor_.is_open()) return;
    if (!error) {
      accepted(thread, std::move(socket));
      return accept();
    }
    spdlog::warn("a connection could not be accepted: {}", error.message());
    retry_.expires_after(kRetryAccept);
    retry_.async_wait([this](const asio::error_code& cancelled) {
      if (!cancelled && acceptor_.is_open()) accept();
    });
  });
}

void Listener::accepted(IoThread& thread, asio::ip::tcp::socket socket) {
  asio::error_code error;
  const auto peer = socket.remote_endpoint(error);
  if (error) return;  // gone already
  std::string address = peer.address().to_string();
  const auto verdict = quota_.opened(address);
  if (verdict == ConnectionQuota::Verdict::kDrop) return;
  std::optional<Error> refusal;
  if (verdict == ConnectionQuota::Verdict::kRefuse) {
    refusal = Error(ErrorCode::kTooManyConnections, "the broker's limit of connections is reached");
  }
  thread.adopt(std::move(socket), std::move(address), std::move(refusal));
}

}  // namespace tally::broker
