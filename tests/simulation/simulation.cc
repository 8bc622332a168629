#include "tests/simulation/simulation.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "protocol/base/seeded_bug.h"
#include "tests/simulation/admin.h"
#include "tests/simulation/broker_machine.h"
#include "tests/simulation/raw_consumer.h"
#include "tests/simulation/raw_producer.h"
#include "tests/simulation/sdk_consumer.h"
#include "tests/simulation/sdk_producer.h"

namespace tally::simulation {
namespace {

constexpr std::int64_t kQuietMs = 2'000;  // so long nothing is open before the run counts as over

class Simulation {
 public:
  Simulation(const Options& options, bool trace);
  Outcome run();

 private:
  void add_producers();
  void add_consumers();
  void run_until(std::int64_t ms);
  bool drain();
  std::string what_is_open() const;
  void list_all();
  void finish();

  const Options options_;
  World world_;
  Observer observer_;
  RaceWatch watch_;
  Network network_;
  Workload workload_;
  BrokerMachine broker_;
  Admin admin_;
  Database orders_;
  Database others_;
  ListenerState files_;
  std::vector<std::unique_ptr<SdkProducer>> producers_{};
  std::vector<std::unique_ptr<SdkConsumer>> consumers_{};
  RawProducer raw_producer_;
  RawConsumer raw_consumer_;
};

Simulation::Simulation(const Options& options, bool trace)
    : options_(options),
      world_(options.seed),
      observer_(world_, {.attempts_max = options.core.attempts_max,
                         .check_budget = options.core.check_budget,
                         .check_answer_ms = options.core.check_answer_ms,
                         .check_backoff_max_ms = options.core.check_backoff_max_ms}),
      watch_(world_, observer_),
      network_(world_),
      workload_(world_.random().fork()),
      broker_(world_, options_, {network_, observer_, watch_}),
      admin_(world_, {network_, broker_, observer_}),
      orders_(world_, observer_, 1),
      others_(world_, observer_, 2),
      files_(observer_),
      raw_producer_(world_, options_, {network_, broker_, observer_}, watch_, workload_),
      raw_consumer_(world_, options_, {network_, broker_, observer_}, Workload::groups().back(),
                    Workload::topics().front().name) {
  world_.print_trace(trace);
  network_.set_faults(options_.network);
  add_producers();
  add_consumers();
}

void Simulation::add_producers() {
  const auto add = [&](SdkProducer::Identity identity) {
    producers_.push_back(std::make_unique<SdkProducer>(
        world_, options_,
        SdkProducer::Surroundings{network_, broker_, observer_, watch_, workload_},
        std::move(identity)));
  };
  add({.name = "orders-1", .group = "orders", .database = &orders_});
  add({.name = "orders-2", .group = "orders", .database = &orders_});
  add({.name = "others", .group = "others", .database = &others_});
  if (!options_.listeners) return;
  add({.name = "files-1", .group = "files", .listener = &files_});
  add({.name = "files-2", .group = "files", .listener = &files_});
}

void Simulation::add_consumers() {
  for (const std::string& group : Workload::groups()) {
    for (const Workload::Topic& topic : Workload::topics()) {
      const std::uint32_t instances = topic.queues > 1 ? 2 : 1;
      for (std::uint32_t i = 1; i <= instances; ++i) {
        const auto parallelism = static_cast<std::uint32_t>(world_.random().between(1, 4));
        consumers_.push_back(std::make_unique<SdkConsumer>(
            world_, options_, ClientLink::Surroundings{network_, broker_, observer_},
            SdkConsumer::Identity{
                .name = group + "-" + topic.name + "-" + std::to_string(i),
                .group = group,
                .topic = topic.name,
                .parallelism = parallelism,
                .prefetch = static_cast<std::uint32_t>(world_.random().below(8))}));
      }
    }
  }
}

Outcome Simulation::run() {
  world_.trace("simulation", "seed ", options_.seed, " ", describe(options_));
  broker_.switch_on();
  admin_.switch_on();
  for (const auto& producer : producers_) producer->switch_on();
  for (const auto& consumer : consumers_) consumer->switch_on();
  raw_producer_.switch_on();
  raw_consumer_.switch_on();
  run_until(options_.faulty_ms);
  if (!observer_.failed() && drain()) finish();
  return {.seed = options_.seed,
          .violations = observer_.violations(),
          .races = observer_.races(),
          .steps = world_.steps(),
          .events = observer_.summary().events,
          .transactions = observer_.summary().transactions,
          .deliveries = observer_.summary().deliveries,
          .deaths = broker_.deaths()};
}

void Simulation::run_until(std::int64_t ms) {
  while (!observer_.failed() && world_.step(ms * kMs)) {
  }
}

std::string Simulation::what_is_open() const {
  std::string open = admin_.what_is_open();
  if (!raw_producer_.idle()) open += "ends are not answered; ";
  for (const auto& producer : producers_) {
    if (producer->open_transactions() > 0) open += producer->name() + " has open transactions; ";
  }
  return open;
}

bool Simulation::drain() {
  world_.trace("simulation", "no faults from here on");
  network_.set_faults({});
  broker_.heal();
  for (const auto& producer : producers_) producer->heal();
  for (const auto& consumer : consumers_) consumer->heal();
  raw_producer_.heal();
  raw_consumer_.heal();
  admin_.heal();
  observer_.add("simulation", test::Healed{});
  const std::int64_t end_ms = world_.now_ms() + options_.drain_ms;
  std::int64_t quiet_since_ms = 0;
  while (!observer_.failed() && world_.now_ms() < end_ms) {
    run_until(world_.now_ms() + 250);
    const std::string open = what_is_open();
    if (!open.empty()) {
      quiet_since_ms = 0;
    } else if (quiet_since_ms == 0) {
      quiet_since_ms = world_.now_ms();
    } else if (world_.now_ms() - quiet_since_ms >= kQuietMs) {
      return true;
    }
  }
  if (!observer_.failed()) {
    observer_.violate(test::Rule::kService,
                      "not everything came to its end after the faults: " + what_is_open());
  }
  return false;
}

void Simulation::list_all() {
  admin_.list_all();
  const std::int64_t end_ms = world_.now_ms() + kQuietMs;
  while (!admin_.listed() && !observer_.failed() && world_.now_ms() < end_ms)
    run_until(world_.now_ms() + 10);
  if (!admin_.listed() && !observer_.failed())
    observer_.violate(test::Rule::kService, "a list was not answered");
}

void Simulation::finish() {
  orders_.tell_truth();
  others_.tell_truth();
  files_.tell_truth();
  observer_.add("simulation", test::Resumed{});
  list_all();
  broker_.tell_counters();
  observer_.add("simulation", test::Drained{});
  for (int ms = 0; ms < kQuietMs && !broker_.idle(); ++ms) run_until(world_.now_ms() + 1);
  if (!broker_.idle()) observer_.violate(test::Rule::kService, "the broker is never idle");
  if (!observer_.failed()) broker_.compare_states();
  for (const auto& producer : producers_) producer->end();
  for (const auto& consumer : consumers_) consumer->end();
  raw_producer_.end();
  raw_consumer_.end();
  admin_.end();
  observer_.finish();
}

}  // namespace

Outcome simulate(const Options& options, bool trace) {
  spdlog::set_level(trace ? spdlog::level::info : spdlog::level::off);
  return Simulation(options, trace).run();
}

std::string repeat_command(std::uint64_t seed) {
  const std::string& bug = seeded_bug();
  return (bug.empty() ? "" : "TALLY_SEEDED_BUG=" + bug + " ") + "tools/dev sim " +
         std::to_string(seed);
}

std::string report(const Outcome& outcome) {
  return "seed " + std::to_string(outcome.seed) + ": " + to_string(outcome.violations.front()) +
         "\n  repeat it: " + repeat_command(outcome.seed);
}

}  // namespace tally::simulation
