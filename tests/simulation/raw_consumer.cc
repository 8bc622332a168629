#include "tests/simulation/raw_consumer.h"

namespace tally::simulation {
namespace {

constexpr std::int64_t kTimeoutMs = 2'000;

}  // namespace

RawConsumer::RawConsumer(World& world, const Options& options,
                         const ClientLink::Surroundings& surroundings, std::string group,
                         std::string topic)
    : Process(world, "raw-" + group),
      options_(options),
      around_(surroundings),
      group_(std::move(group)),
      topic_(std::move(topic)),
      random_(world.random().fork()) {}

void RawConsumer::switch_on() {
  begin_life();
  link_ = std::make_shared<ClientLink>(*this, name(), around_, net::Client::Callbacks{}, name());
  link_->start();
  receive();
}

void RawConsumer::receive() {
  if (!works_) return;
  link_->ask(ReceiveRequest{.topic = topic_,
                            .group = group_,
                            .messages_max = static_cast<std::uint32_t>(random_.between(1, 4)),
                            .wait_ms = 300,
                            .lease_ms = random_.between(100, 400)},
             {}, kTimeoutMs, [this](Result<net::Answer>&& answer) {
               after(random_.between(1, 400) * kMs, [this] { receive(); });
               if (!answer) return;
               for (const DeliveryHeader& delivery :
                    std::get<ReceiveResponse>(answer->response).deliveries) {
                 take(delivery);
               }
             });
}

void RawConsumer::take(const DeliveryHeader& delivery) {
  const auto later = [&] { return random_.between(0, 1'000) * kMs; };
  const SettleAction action = random_.one_in(4) ? SettleAction::kNack : SettleAction::kAck;
  after(later(), [this, delivery, action] { settle(delivery, action); });
  if (random_.one_in(3)) {
    after(later(), [this, delivery] { settle(delivery, SettleAction::kAck); });
  }
  if (random_.one_in(3)) {
    link_->ask(ExtendLeaseRequest{.topic = topic_,
                                  .group = group_,
                                  .lease_ms = random_.between(100, 500),
                                  .items = {{delivery.queue, delivery.offset, delivery.attempt}}},
               {}, kTimeoutMs, [](Result<net::Answer>&&) {});
  }
}

void RawConsumer::settle(const DeliveryHeader& delivery, SettleAction action) {
  link_->ask(SettleRequest{.topic = topic_,
                           .group = group_,
                           .items = {{.queue = delivery.queue,
                                      .offset = delivery.offset,
                                      .attempt = delivery.attempt,
                                      .action = action}}},
             {}, kTimeoutMs, [](Result<net::Answer>&&) {});
}

}  // namespace tally::simulation
