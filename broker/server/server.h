#pragma once
// The broker as one object: opens the data, starts the threads, serves, and stops in order.
//
// Operation: start() returns when connections are accepted. stop(), the only place where the order of a stop stands: stop
// accepting and reading, drain, final Mark and checkpoint, write the last answers, close.
// Concurrency: start() and stop() by one thread.
// Limits: a failing disk ends the process (exit code 4), also during a stop.

#include <memory>
#include <string>
#include <tally/result.hpp>

#include "broker/server/settings.h"
#include "broker/server/wiring.h"
#include "store/file_system.h"

namespace tally::broker {

class Server {
 public:
  /// Errors: of open_shard(); ADDRESS_IN_USE, INVALID_ARGUMENT.
  static Result<std::unique_ptr<Server>> start(
      const Settings& settings, const SessionLimits& limits = {},
      store::FileSystem& files = store::real_file_system());
  ~Server();

  /// HOST:PORT, with the port that was taken.
  const std::string& address() const;
  void stop();

 private:
  struct Inlet;
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tally::broker
