#include <algorithm>
#include <string>
#include <tally/consumer.hpp>
#include <utility>

#include "consumer-sdk/consumer_connection.h"
#include "protocol/base/limits.h"
#include "protocol/base/message_block.h"
#include "protocol/base/names.h"

namespace tally {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kParallelismMax = 256;
constexpr std::uint32_t kPrefetchMax = limits::kReceiveMessagesMax - kParallelismMax;

Result<void> check_range(std::string_view what, std::int64_t value, std::int64_t least,
                         std::int64_t most) {
  if (value >= least && value <= most) return {};
  return Error(ErrorCode::kOutOfRange, std::string(what) + " is " + std::to_string(value) +
                                           ", allowed are " + std::to_string(least) + " to " +
                                           std::to_string(most));
}

Result<void> check_lease(milliseconds lease) {
  if (lease.count() == 0) return {};
  return check_range("lease, in ms,", lease.count(), limits::kLeaseMsMin, limits::kLeaseMsMax);
}

Result<void> check_options(const SubscribeOptions& options) {
  TALLY_TRY_VOID(check_name("topic", options.topic));
  TALLY_TRY_VOID(check_range("parallelism", options.parallelism, 1, kParallelismMax));
  TALLY_TRY_VOID(check_range("prefetch", options.prefetch, 0, kPrefetchMax));
  return check_lease(options.lease);
}

Result<void> check_options(const ReceiveOptions& options) {
  TALLY_TRY_VOID(check_name("topic", options.topic));
  TALLY_TRY_VOID(check_range("max", options.max, 1, limits::kReceiveMessagesMax));
  TALLY_TRY_VOID(check_range("wait, in ms,", options.wait.count(), 0, limits::kReceiveWaitMsMax));
  return check_lease(options.lease);
}

}  // namespace

Consumer::Consumer(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}
Consumer::Consumer(Consumer&&) noexcept = default;
Consumer& Consumer::operator=(Consumer&& other) noexcept {
  std::swap(connection_, other.connection_);
  return *this;
}
Consumer::~Consumer() = default;

Result<Consumer> Consumer::connect(ConsumerOptions options) {
  TALLY_TRY_VOID(check_name("group", options.group));
  TALLY_TRY(const net::Address address, net::parse_address(options.broker));
  if (address.port == 0) return Error(ErrorCode::kInvalidArgument, "the broker's port is 0");
  return Consumer(std::make_shared<Connection>(std::move(options)));
}

Result<Subscription> Consumer::subscribe(SubscribeOptions options, Handler handler) {
  TALLY_TRY_VOID(check_options(options));
  if (!handler) return Error(ErrorCode::kInvalidArgument, "a subscription needs a handler");
  TALLY_TRY(auto loop, connection_->subscribe(std::move(options), std::move(handler)));
  return Subscription(std::move(loop));
}

Result<Subscription> Consumer::subscribe_once(std::shared_ptr<DatabaseAdapter> database,
                                              SubscribeOptions options, OnceWork work) {
  const ConsumerOptions& mine = connection_->options();
  return subscribe(std::move(options), [database = std::move(database), work = std::move(work),
                                        group = mine.group,
                                        log = mine.log](const Delivery& delivery) {
    std::optional<Settlement> chosen;
    const auto done =
        database->run_once(group, delivery.id(), [&](LocalTransaction& local) -> Result<Decision> {
          chosen.reset();
          try {
            chosen = work(delivery, local);
          } catch (const std::exception& exception) {
            return Error(ErrorCode::kHandlerFailed, exception.what());
          } catch (...) {
            return Error(ErrorCode::kHandlerFailed, "an exception of unknown type");
          }
          return chosen->kind() == Settlement::Kind::kAck ? Decision::kCommit : Decision::kRollback;
        });
    if (done) return Settlement::ack();
    if (chosen && chosen->kind() != Settlement::Kind::kAck) return *chosen;
    tell(log, LogLevel::kWarning,
         delivery.id().to_string() + " is tried again: " + to_string(done.error()));
    return Settlement::retry();
  });
}

Result<std::vector<Delivery>> Consumer::receive(ReceiveOptions options) {
  TALLY_TRY_VOID(check_options(options));
  TALLY_TRY(auto received,
            connection_->receive({options.topic, connection_->options().group, options.max, 0,
                                  options.wait.count(), options.lease.count()}));
  std::vector<Delivery> deliveries;
  deliveries.reserve(received.response.deliveries.size());
  std::string_view left = received.payload;
  for (const DeliveryHeader& header : received.response.deliveries) {
    const std::string_view bytes = left.substr(0, header.block_bytes);
    left.remove_prefix(bytes.size());
    const MessageUid id{received.log, header.lsn};
    if (const auto block = MessageBlock::parse(bytes)) {
      deliveries.emplace_back(to_message(*block, options.topic), id, header.queue, header.offset,
                              header.attempt);
    } else {
      tell(connection_->options().log, LogLevel::kError,
           "message " + id.to_string() + " is not delivered: " + to_string(block.error()));
      connection_->nack(options.topic, header);
    }
  }
  return deliveries;
}

Result<void> Consumer::ack(const Delivery& delivery) { return ack({&delivery, 1}); }

Result<void> Consumer::ack(std::span<const Delivery> deliveries) {
  return connection_->settle(deliveries, {SettleAction::kAck, -1});
}

Result<void> Consumer::nack(const Delivery& delivery, std::optional<milliseconds> after) {
  if (after) {
    TALLY_TRY_VOID(check_range("delay, in ms,", after->count(), 0, limits::kNackDelayMsMax));
  }
  const Settlement retry = after ? Settlement::retry(*after) : Settlement::retry();
  return connection_->settle({&delivery, 1}, to_result(retry));
}

Result<void> Consumer::dead_letter(const Delivery& delivery) {
  return connection_->settle({&delivery, 1}, {SettleAction::kDeadLetter, -1});
}

Result<void> Consumer::extend(const Delivery& delivery, milliseconds lease) {
  TALLY_TRY_VOID(check_lease(lease));
  return connection_->extend(delivery, lease.count());
}

Result<void> Consumer::stop(milliseconds deadline) { return connection_->stop(deadline.count()); }

}  // namespace tally
