#pragma once
// One subscription at work: a connection, a ConsumerCore on its network thread, a HandlerPool, and the way between them.
//
// A connection of its own, because its end is how a stopping subscription takes back the receives that wait at the broker, and
// gives back at once the messages that no handler has begun, without an attempt counted.
//
// Concurrency: members say their thread. Ownership: by the Subscription, which calls end() before it lets go; callbacks of the
// client refer to the loop, which owns the client; workers hold it only while they use it.

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <tally/consumer.hpp>
#include <vector>

#include "consumer-sdk/consumer_core.h"
#include "consumer-sdk/handler_pool.h"
#include "protocol/net/client.h"

namespace tally {

/// How long a destructor waits for the broker to answer settlements.
inline constexpr std::int64_t kDestructorMs = 5'000;

/// Calls the application's log callback; lets no exception out.
void tell(const LogCallback& log, LogLevel level, std::string_view text);

/// What a settlement means on the wire, its delay within the limits.
HandlerResult to_result(const Settlement& settlement);

/// The client of a consumer, with its name in Hello.
net::ClientOptions client_options(const ConsumerOptions& options);

class Subscription::Loop : public std::enable_shared_from_this<Subscription::Loop> {
 public:
  Loop(ConsumerCoreOptions options, LogCallback log);

  /// Once, before anything else. With an executor no worker threads are made.
  Result<void> start(net::ClientOptions client, Handler handler, HandlerPool::Executor executor,
                     std::uint32_t threads);

  // --- any thread ---
  void begin_stop();
  Result<void> stop(std::int64_t timeout_ms);
  /// begin_stop(), waits for running handlers, gives their settlements `timeout_ms` to be answered, joins the threads, closes
  /// the connection. In a handler of its own it waits for nothing.
  void end(std::int64_t timeout_ms);

 private:
  HandlerResult handle(const Handler& handler, HandlerCall& call) const;
  void post(std::function<void()> task);
  bool wait_drained(std::int64_t timeout_ms);
  void close();

  // --- network thread ---
  void connected(const HelloResponse& hello);
  void disconnected(const Error& error);
  void collect();
  void pump();
  void ask(ConsumerCore::Ask& ask);
  void arm_tick();

  const std::string topic_;
  const LogCallback log_;
  std::shared_ptr<HandlerPool> pool_{};

  // Of the network thread alone:
  ConsumerCore core_;
  ConsumerCore::Actions actions_{};
  std::vector<FinishedRun> finished_{};
  std::int64_t armed_ms_ = ConsumerCore::kNever;
  bool told_loss_ = false;

  std::mutex mutex_{};
  std::condition_variable drained_changed_{};
  bool drained_ = false;                   // under mutex_
  std::unique_ptr<net::Client> client_{};  // under mutex_; null once closed
};

}  // namespace tally
