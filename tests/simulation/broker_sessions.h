#pragma once
// The sessions of a simulated broker: between frames and commands, without the server's sockets and buffers.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/server/mail.h"
#include "protocol/wire/codec.h"
#include "store/log.h"
#include "tests/simulation/log_watch.h"
#include "tests/simulation/network.h"

namespace tally::simulation {

class BrokerSessions {
 public:
  struct Setting {
    LogId log{};
    std::int64_t first_check_ms = 0;
    std::int64_t lifetime_ms = 0;
    std::shared_ptr<const store::LogReader> reader{};
    std::uint64_t newest_session = 0;
  };
  /// What the core is told goes into `mail`; `wake` is called then.
  BrokerSessions(Network& network, const Network::Party& broker, Setting setting,
                 broker::CoreMail& mail, std::function<void()> wake);

  SessionId accept(Network::Connection connection, std::int64_t now_ms);
  void received(Network::Connection connection, std::string_view bytes, std::int64_t now_ms,
                std::int64_t wall_ms);
  void closed(Network::Connection connection);
  /// Closes those that were silent for too long.
  void sweep(std::int64_t now_ms);

  void answer(const broker::Reply& reply);
  /// Error: a block that cannot be read, though retention did not give it up.
  Result<void> answer(broker::Grant&& grant, const LogWatch& log);
  void ask(const broker::AskCheck& check);

  std::uint64_t newest() const { return newest_; }
  std::vector<Network::Connection> connections() const;

  static constexpr std::int64_t kPingMs = 700;

 private:
  struct Session {
    SessionId id{};
    Network::Connection connection = 0;
    bool open = false;
    std::int64_t received_ms = 0;
    std::string unread{};
  };
  void take(Session& session, const wire::Frame& frame, std::int64_t wall_ms,
            broker::CommandBatch& batch);
  void greet(Session& session, const wire::Frame& frame, std::int64_t wall_ms);
  Session* find(SessionId session);
  void send(const Session& session, std::string bytes);

  Network& network_;
  const Network::Party& broker_;
  const Setting setting_;
  broker::CoreMail& mail_;
  const std::function<void()> wake_;
  wire::Codec codec_{};
  std::map<Network::Connection, Session> by_connection_{};
  std::map<std::uint64_t, Network::Connection> by_id_{};
  std::uint64_t newest_;
};

}  // namespace tally::simulation
