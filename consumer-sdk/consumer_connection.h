#pragma once
// What a Consumer owns: its subscriptions, and a client for receive() and the like, made by their first call.
//
// Concurrency: thread-safe.

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <tally/consumer.hpp>
#include <vector>

#include "consumer-sdk/subscription_loop.h"
#include "protocol/net/client.h"

namespace tally {

/// The first error among the results that a SettleResponse or ExtendLeaseResponse has for its items.
template <typename Answer>
Result<void> first_error_in(const Response& answer) {
  const auto* items = std::get_if<Answer>(&answer);
  if (items == nullptr) return Error(ErrorCode::kInternal, "the answer does not fit the request");
  for (std::size_t i = 0; i < items->results.size(); ++i) {
    if (items->results[i] == ErrorCode::kOk) continue;
    return Error(items->results[i], "delivery " + std::to_string(i + 1) + " of " +
                                        std::to_string(items->results.size()));
  }
  return {};
}

class Consumer::Connection {
 public:
  explicit Connection(ConsumerOptions options) : options_(std::move(options)) {}
  ~Connection();

  Result<std::shared_ptr<Subscription::Loop>> subscribe(SubscribeOptions options, Handler handler);
  Result<void> stop(std::int64_t timeout_ms);

  const ConsumerOptions& options() const { return options_; }

  struct Received {
    ReceiveResponse response{};
    std::string payload{};
    LogId log{};
  };
  /// Asks until there is an answer or the time is over; a broken connection means asking again.
  Result<Received> receive(ReceiveRequest request);
  void nack(const std::string& topic, const DeliveryHeader& delivery);
  /// Settles deliveries of one topic. Error: LEASE_LOST when any of them was not this group's any more.
  Result<void> settle(std::span<const Delivery> deliveries, const HandlerResult& result);
  Result<void> extend(const Delivery& delivery, std::int64_t lease_ms);

 private:
  std::vector<std::shared_ptr<Subscription::Loop>> loops();
  Result<net::Client*> client();
  Result<Response> ask(const Request& request);
  /// LEASE_LOST when the broker is known to serve another log by now: its offsets mean other messages.
  Result<void> check_log(LogId log) const;

  const ConsumerOptions options_;
  mutable std::mutex mutex_{};
  LogId log_{};                                             // under mutex_; of the last connection
  std::vector<std::weak_ptr<Subscription::Loop>> loops_{};  // under mutex_
  bool told_loss_ = false;                                  // of the network thread alone
  std::unique_ptr<net::Client> client_{};  // made under mutex_; last: its end ends its callbacks
};

}  // namespace tally
