#pragma once
// The broker's side of a connection, step by step in the hands of a test: listen, accept, read a frame, answer, hang up.
// Blocking sockets on 127.0.0.1; every step that waits has a deadline of 20 s and fails the test (throws) when it passes.
// A connection belongs to one thread.

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/net/client.h"
#include "protocol/wire/codec.h"

namespace tally::net {

class ScriptedConnection {
 public:
  explicit ScriptedConnection(int fd) : fd_(fd) {}
  ScriptedConnection(ScriptedConnection&& other) noexcept;
  ScriptedConnection& operator=(ScriptedConnection&&) = delete;
  ~ScriptedConnection();

  struct Asked {
    RequestId id{};
    std::uint8_t kind = 0;
    std::uint16_t flags = 0;
    Request request{};  ///< monostate when the frame is an answer
    std::string payload{};
  };
  Asked read();
  /// All whole frames that are there, at least one; empty when the client hung up.
  std::vector<Asked> read_batch();
  /// True when the client hangs up; what it still sends is passed over.
  bool client_hung_up();

  void send(std::string_view bytes);
  void answer(RequestId id, const Response& response);
  void refuse(const Asked& asked, const Error& error);
  void ask(RequestId id, const Request& request);
  /// Serves Hello.
  void welcome(HelloResponse hello = {.window = 64});
  void close();

  wire::Codec codec{};

 private:
  bool fill();
  std::optional<Asked> next();

  int fd_;
  std::string received_{};
};

class ScriptedBroker {
 public:
  ScriptedBroker();
  ~ScriptedBroker();
  ScriptedBroker(const ScriptedBroker&) = delete;
  ScriptedBroker& operator=(const ScriptedBroker&) = delete;

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  ScriptedConnection accept();
  /// Nobody is served from here on: attempts are refused. The port stays taken.
  void stop_listening();

 private:
  int fd_ = -1;
  std::uint16_t port_ = 0;
};

/// What happened on the network thread, as lines that a test waits for.
class Events {
 public:
  void add(std::string line);
  /// Waits until `line` was added (for the count-th time).
  void wait_for(std::string_view line, std::size_t count = 1);
  std::vector<std::string> all() const;
  std::size_t count(std::string_view line) const;

 private:
  mutable std::mutex mutex_{};
  std::condition_variable added_{};
  std::vector<std::string> lines_{};
};

/// Logs "connected", "lost CODE", "check ID".
Client::Callbacks log_into(Events& events);
/// Logs "mark ok" or "mark CODE".
Client::AnswerCallback log_into(Events& events, std::string mark);

}  // namespace tally::net
