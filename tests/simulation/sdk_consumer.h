#pragma once
// A service that uses the consumer SDK: the real ConsumerCore on a simulated connection, and handlers that take their time,
// fail, and die.

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "consumer-sdk/consumer_core.h"
#include "tests/simulation/client_link.h"

namespace tally::simulation {

class SdkConsumer final : public Process {
 public:
  struct Identity {
    std::string name{};
    std::string group{};
    std::string topic{};
    std::uint32_t parallelism = 1;
    std::uint32_t prefetch = 0;
  };
  SdkConsumer(World& world, const Options& options, const ClientLink::Surroundings& surroundings,
              Identity identity);

  void switch_on();
  void heal() { faults_ = {}; }
  /// The run is over: requests that fly stay unanswered.
  void end() {
    if (link_ != nullptr) link_->end(true);
  }

 private:
  void start();
  void die();
  void die_now_and_then();
  void pump();
  void arm_timer();
  void ask(ConsumerCore::Ask& asked);
  /// Begins calls as long as a handler is free.
  void handle();
  HandlerResult result_of_handler();
  std::vector<RunKey> take_back();

  const Options& options_;
  const ClientLink::Surroundings around_;
  const Identity identity_;
  Random random_;
  ConsumerFaults faults_;
  std::uint64_t lives_ = 0;

  // Of one life:
  std::shared_ptr<ConsumerCore> core_{};
  std::shared_ptr<ClientLink> link_{};
  std::deque<RunKey> calls_{};  ///< not begun
  std::uint32_t running_ = 0;
  std::int64_t timer_ms_ = 0;
};

}  // namespace tally::simulation
