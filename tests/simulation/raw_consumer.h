#pragma once
// A consumer without the SDK: it keeps deliveries for longer than their leases, settles them twice and with attempts that are
// over.

#include <memory>
#include <string>

#include "tests/simulation/client_link.h"

namespace tally::simulation {

class RawConsumer final : public Process {
 public:
  RawConsumer(World& world, const Options& options, const ClientLink::Surroundings& surroundings,
              std::string group, std::string topic);

  void switch_on();
  /// Receives no more.
  void heal() { works_ = false; }
  /// The run is over: requests that fly stay unanswered.
  void end() { link_->end(true); }

 private:
  void receive();
  void take(const DeliveryHeader& delivery);
  void settle(const DeliveryHeader& delivery, SettleAction action);

  const Options& options_;
  const ClientLink::Surroundings around_;
  const std::string group_, topic_;
  Random random_;
  bool works_ = true;
  std::shared_ptr<ClientLink> link_{};
};

}  // namespace tally::simulation
