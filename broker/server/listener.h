#pragma once
// Accepts connections and gives them to the I/O threads in turn. Lives on the first I/O thread's event loop.
//
// At the connection limits a client is told TOO_MANY_CONNECTIONS and closed; when even too many of those are open, closed
// without a word.

#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <memory>
#include <span>
#include <string>
#include <tally/result.hpp>

#include "broker/server/connection_quota.h"
#include "broker/server/io_thread.h"

namespace tally::broker {

class Listener {
 public:
  Listener(std::span<const std::unique_ptr<IoThread>> io_threads, ConnectionQuota& quota);

  /// Binds and listens; nobody is accepted yet. Errors: ADDRESS_IN_USE, INVALID_ARGUMENT.
  Result<void> bind(const std::string& address);
  /// The address with the port that was taken.
  const std::string& address() const { return address_; }
  void start();
  /// Closes the socket. Returns when nobody more will be accepted.
  void stop();

 private:
  void accept();
  void accepted(IoThread& thread, asio::ip::tcp::socket socket);

  std::span<const std::unique_ptr<IoThread>> io_threads_;
  ConnectionQuota& quota_;
  asio::ip::tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  std::string address_;
  std::size_t next_ = 0;
};

}  // namespace tally::broker
