#include "consumer-sdk/consumer_connection.h"

#include <algorithm>
#include <future>
#include <utility>

#include "protocol/base/clock.h"

namespace tally {
namespace {

std::int64_t now_ms() { return system_clock().boot_ms(); }

}  // namespace

Consumer::Connection::~Connection() {
  const auto loops = this->loops();
  for (const auto& loop : loops) loop->begin_stop();
  for (const auto& loop : loops) loop->end(kDestructorMs);
}

std::vector<std::shared_ptr<Subscription::Loop>> Consumer::Connection::loops() {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Subscription::Loop>> loops;
  std::erase_if(loops_, [&](const auto& weak) {
    if (auto loop = weak.lock()) {
      loops.push_back(std::move(loop));
      return false;
    }
    return true;
  });
  return loops;
}

Result<std::shared_ptr<Subscription::Loop>> Consumer::Connection::subscribe(
    SubscribeOptions options, Handler handler) {
  ConsumerCoreOptions core{std::move(options.topic), options_.group, options.parallelism,
                           options.prefetch, options.lease.count()};
  auto loop = std::make_shared<Subscription::Loop>(std::move(core), options_.log);
  TALLY_TRY_VOID(loop->start(client_options(options_), std::move(handler), options_.executor,
                             options.parallelism));
  loops();  // forgets those that ended
  const std::lock_guard lock(mutex_);
  loops_.push_back(loop);
  return loop;
}

Result<net::Client*> Consumer::Connection::client() {
  const std::lock_guard lock(mutex_);
  if (client_) return client_.get();
  net::Client::Callbacks callbacks;
  callbacks.on_connected = [this](const HelloResponse& hello) {
    told_loss_ = false;
    const std::lock_guard log_lock(mutex_);
    log_ = hello.log;
  };
  callbacks.on_disconnected = [this](const Error& error) {
    if (std::exchange(told_loss_, true)) return;  // once per loss, not once per attempt
    tell(options_.log, LogLevel::kWarning, to_string(error));
  };
  TALLY_TRY(client_, net::Client::start(client_options(options_), std::move(callbacks)));
  return client_.get();
}

Result<void> Consumer::Connection::stop(std::int64_t timeout_ms) {
  const std::int64_t deadline_ms = now_ms() + timeout_ms;
  const auto loops = this->loops();
  for (const auto& loop : loops) loop->begin_stop();
  Result<void> worst;
  for (const auto& loop : loops) {
    Result<void> stopped = loop->stop(std::max<std::int64_t>(deadline_ms - now_ms(), 0));
    if (!stopped) worst = std::move(stopped);
  }
  return worst;
}

Result<Response> Consumer::Connection::ask(const Request& request) {
  TALLY_TRY(net::Client * client, this->client());
  const std::int64_t deadline_ms = now_ms() + options_.timeout.count();
  while (true) {
    const std::int64_t left_ms = std::max<std::int64_t>(deadline_ms - now_ms(), 1);
    auto answer = net::ask_and_wait(*client, request, {}, left_ms);
    if (answer) return std::move(answer->response);
    if (answer.error().code != ErrorCode::kDisconnected || now_ms() >= deadline_ms) {
      return std::move(answer).error();
    }
  }
}

Result<Consumer::Connection::Received> Consumer::Connection::receive(ReceiveRequest request) {
  TALLY_TRY(net::Client * client, this->client());
  const std::int64_t wait_until_ms = now_ms() + request.wait_ms;
  const std::int64_t deadline_ms = wait_until_ms + options_.timeout.count();
  while (true) {
    request.wait_ms = std::max<std::int64_t>(wait_until_ms - now_ms(), 0);
    const std::int64_t left_ms = std::max<std::int64_t>(deadline_ms - now_ms(), 1);
    auto promise = std::make_shared<std::promise<Result<Received>>>();
    auto future = promise->get_future();
    client->ask(request, {}, left_ms, [this, promise](Result<net::Answer>&& answer) {
      if (!answer) return promise->set_value(std::move(answer).error());
      auto* response = std::get_if<ReceiveResponse>(&answer->response);
      if (response == nullptr) {
        return promise->set_value(Error(ErrorCode::kInternal, "the answer is not to a receive"));
      }
      const std::lock_guard lock(mutex_);
      promise->set_value(Received{std::move(*response), std::string(answer->payload), log_});
    });
    auto received = future.get();
    if (received) return received;
    if (received.error().code != ErrorCode::kDisconnected || now_ms() >= deadline_ms) {
      return std::move(received).error();
    }
  }
}

void Consumer::Connection::nack(const std::string& topic, const DeliveryHeader& delivery) {
  SettleRequest request{topic, options_.group, {}};
  request.items.push_back(
      {delivery.queue, delivery.offset, delivery.attempt, SettleAction::kNack, -1});
  // Its answer changes nothing: without it, the lease runs out.
  client_->ask(std::move(request), {}, options_.timeout.count(), [](Result<net::Answer>&&) {});
}

Result<void> Consumer::Connection::settle(std::span<const Delivery> deliveries,
                                          const HandlerResult& result) {
  Result<void> worst;
  while (!deliveries.empty()) {
    const auto part =
        deliveries.first(std::min<std::size_t>(deliveries.size(), limits::kSettleItemsMax));
    deliveries = deliveries.subspan(part.size());
    SettleRequest request{part.front().message().topic, options_.group, {}};
    request.items.reserve(part.size());
    for (const Delivery& delivery : part) {
      if (delivery.message().topic != request.topic) {
        return Error(ErrorCode::kInvalidArgument, "deliveries of several topics at once");
      }
      TALLY_TRY_VOID(check_log(delivery.id().log));
      request.items.push_back({delivery.queue(), delivery.offset(), delivery.attempt(),
                               result.action, result.delay_ms});
    }
    TALLY_TRY(const Response answer, ask(request));
    Result<void> settled = first_error_in<SettleResponse>(answer);
    if (!settled) worst = std::move(settled);
  }
  return worst;
}

Result<void> Consumer::Connection::extend(const Delivery& delivery, std::int64_t lease_ms) {
  TALLY_TRY_VOID(check_log(delivery.id().log));
  ExtendLeaseRequest request{delivery.message().topic, options_.group, lease_ms, {}};
  request.items.push_back({delivery.queue(), delivery.offset(), delivery.attempt()});
  TALLY_TRY(const Response answer, ask(request));
  return first_error_in<ExtendLeaseResponse>(answer);
}

Result<void> Consumer::Connection::check_log(LogId log) const {
  const std::lock_guard lock(mutex_);
  if (log_.is_zero() || log_ == log) return {};
  return Error(ErrorCode::kLeaseLost, "the broker has another log now");
}

}  // namespace tally
