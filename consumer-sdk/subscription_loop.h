#pragma once
// One subscription at work: a ConsumerCore on the client's network thread, a HandlerPool, and the way between them.
//
// Concurrency: members say their thread. Ownership: shared by the Subscription, by callbacks that the client still holds,
// and weakly by the Consumer; detach() cuts it from the client before that goes.

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

class Subscription::Loop : public std::enable_shared_from_this<Subscription::Loop> {
 public:
  Loop(net::Client& client, ConsumerCoreOptions options, LogCallback log);

  /// Once, before anything else. With an executor no threads are made.
  void start(Handler handler, HandlerPool::Executor executor, std::uint32_t threads);

  // --- network thread ---
  void connected(LogId log);
  void disconnected();

  // --- any thread ---
  void begin_stop();
  Result<void> stop(std::int64_t timeout_ms);
  /// begin_stop(), waits for running handlers, gives their settlements `timeout_ms` to be answered, joins the threads. In a
  /// handler of its own it only begins.
  void end(std::int64_t timeout_ms);
  /// The client is about to go: it is not used any more.
  void detach();

 private:
  HandlerResult handle(const Handler& handler, const HandlerCall& call) const;
  void post(std::function<void()> task);
  bool wait_drained(std::int64_t timeout_ms);

  // --- network thread ---
  void collect();
  void pump();
  void ask(ConsumerCore::Ask& ask);
  void arm_tick();

  const std::string topic_;
  const LogCallback log_;
  std::shared_ptr<HandlerPool> pool_{};

  std::mutex mutex_{};
  std::condition_variable drained_changed_{};
  net::Client* client_;   // under mutex_; null once detached
  bool drained_ = false;  // under mutex_

  // Of the network thread alone:
  ConsumerCore core_;
  ConsumerCore::Actions actions_{};
  std::vector<FinishedRun> finished_{};
  std::int64_t armed_ms_ = ConsumerCore::kNever;
};

}  // namespace tally
