#include "tests/simulation/sdk_consumer.h"

#include <algorithm>
#include <utility>

namespace tally::simulation {

SdkConsumer::SdkConsumer(World& world, const Options& options,
                         const ClientLink::Surroundings& surroundings, Identity identity)
    : Process(world, identity.name),
      options_(options),
      around_(surroundings),
      identity_(std::move(identity)),
      random_(world.random().fork()),
      faults_(options.consumer) {}

void SdkConsumer::switch_on() {
  start();
  die_now_and_then();
}

void SdkConsumer::start() {
  begin_life();
  ++lives_;
  running_ = 0;
  timer_ms_ = ConsumerCore::kNever;
  core_ = std::make_shared<ConsumerCore>(ConsumerCoreOptions{.topic = identity_.topic,
                                                             .group = identity_.group,
                                                             .parallelism = identity_.parallelism,
                                                             .prefetch = identity_.prefetch,
                                                             .lease_ms = 0});
  net::Client::Callbacks callbacks;
  callbacks.on_connected = [this](const HelloResponse& hello) {
    core_->connected(boot_ms(), hello.log);
    pump();
  };
  callbacks.on_disconnected = [this](const Error&) {
    core_->disconnected(take_back());
    pump();
  };
  link_ = std::make_shared<ClientLink>(*this, name() + "." + std::to_string(lives_), around_,
                                       std::move(callbacks), identity_.group);
  link_->start();
}

void SdkConsumer::die_now_and_then() {
  constexpr std::int64_t kEveryMs = 100;
  world().after(kEveryMs * kMs, [this] {
    if (alive() && random_.chance(faults_.death_per_s * kEveryMs / 1'000)) die();
    die_now_and_then();
  });
}

void SdkConsumer::die() {
  world().trace(name(), "dies");
  link_->end(!random_.one_in(4));
  core_.reset();
  link_.reset();
  calls_.clear();
  end_life();
  world().after(random_.between(1, 2'000) * kMs, [this] { start(); });
}

std::vector<RunKey> SdkConsumer::take_back() {
  std::vector<RunKey> not_begun(calls_.begin(), calls_.end());
  calls_.clear();
  return not_begun;
}

void SdkConsumer::pump() {
  ConsumerCore::Actions actions;
  core_->take_actions(actions);
  for (const ConsumerCore::LogLine& line : actions.log) {
    world().trace(name(), "logs: ", line.text);
  }
  for (const HandlerCall& call : actions.calls) calls_.push_back(call.key);
  for (ConsumerCore::Ask& asked : actions.asks) ask(asked);
  handle();
  arm_timer();
}

void SdkConsumer::ask(ConsumerCore::Ask& asked) {
  link_->ask(asked.request, {}, asked.timeout_ms,
             [this, id = asked.id](Result<net::Answer>&& answer) {
               if (answer) {
                 core_->answered(boot_ms(), id, std::move(answer->response), answer->payload);
               } else {
                 core_->answered(boot_ms(), id, std::move(answer).error(), {});
               }
               pump();
             });
}

void SdkConsumer::arm_timer() {
  const std::int64_t next_ms = core_->next_tick_ms();
  if (next_ms >= timer_ms_) return;
  timer_ms_ = next_ms;
  after((next_ms - boot_ms()) * kMs, [this] {
    timer_ms_ = ConsumerCore::kNever;
    core_->tick(boot_ms());
    pump();
  });
}

void SdkConsumer::handle() {
  while (running_ < identity_.parallelism && !calls_.empty()) {
    ++running_;
    const RunKey key = calls_.front();
    calls_.pop_front();
    std::int64_t takes_us = random_.between(100, 15 * kMs);
    if (random_.chance(faults_.slow))
      takes_us += random_.between(1, 3) * options_.core.lease_ms * kMs;
    after(takes_us, [this, key] {
      --running_;
      const FinishedRun finished{key, result_of_handler()};
      core_->finished(boot_ms(), {&finished, 1});
      pump();
    });
  }
}

HandlerResult SdkConsumer::result_of_handler() {
  if (random_.chance(faults_.dead_letter)) return {SettleAction::kDeadLetter, -1};
  if (random_.chance(faults_.nack)) {
    return {SettleAction::kNack, random_.one_in(2) ? -1 : random_.between(0, 300)};
  }
  return {SettleAction::kAck, -1};
}

}  // namespace tally::simulation
