#pragma once
// A client's connection to the broker: the SDKs' own RequestChannel over the simulated network, connecting anew after each
// loss, and every request and answer noted in the history.
//
// Mirrors net::Client, whose part besides the channel is sockets and threads. Lives as long as one life of its process.

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "protocol/net/request_channel.h"
#include "tests/simulation/network.h"
#include "tests/simulation/observer.h"

namespace tally::simulation {

class ClientLink final : public Network::Client {
 public:
  struct Surroundings {
    Network& network;
    Network::Listener& broker;
    Observer& observer;
    /// False: their caller does, a message and all its repeats as one call.
    bool notes_sends = true;
  };
  using Answered = std::function<void(Result<net::Answer>&&)>;

  /// `process` outlives the link. `name` is its own in the history, `client` what it says in Hello.
  ClientLink(Process& process, std::string name, const Surroundings& surroundings,
             net::Client::Callbacks callbacks, std::string client);
  /// The process ends: open requests are never answered. `told`: the broker learns that the connection is gone.
  void end(bool told);

  void start();
  void ask(const Request& request, std::string_view block, std::int64_t timeout_ms,
           Answered answered);
  bool ready() const { return channel_.ready(); }
  /// The connection breaks; what was sent on it arrives late.
  void give_up_late() { around_.network.give_up_late(connection_); }
  const std::string& name() const override { return name_; }

 private:
  void connected(Network::Connection connection) override;
  void received(Network::Connection connection, std::string_view bytes) override;
  void closed(Network::Connection connection) override;

  template <typename Work>
  void batch(Work&& work);
  void attempt();
  void lost(const Error& why);
  void arm_tick();
  static net::ClientOptions client_options(std::string client);
  void ask_channel(const Request& request, std::string_view block, std::int64_t timeout_ms,
                   Answered answered);

  void note_call(test::CallId call, const Request& request, std::string_view block);
  void note_answer(test::CallId call, const Request& request, const Result<net::Answer>& answer);
  void note_delivery(const ReceiveRequest& request, const ReceiveResponse& response,
                     std::string_view payload);

  Process& process_;
  const std::string name_;
  const Surroundings around_;
  Random random_;
  net::ClientOptions options_;
  net::RequestChannel channel_;
  Network::Connection connection_ = 0;  ///< 0: none
  std::string unread_{};
  std::uint64_t epoch_ = 0;  ///< of attempts
  std::int64_t backoff_ms_ = 0;
  std::int64_t armed_us_;
  bool in_batch_ = false;
  bool ended_ = false;
  std::set<test::CallId> open_calls_{};
};

/// What the history knows a message by.
test::Content content_of(std::string_view body);

}  // namespace tally::simulation
