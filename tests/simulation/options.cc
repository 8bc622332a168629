#include "tests/simulation/options.h"

#include "tests/simulation/random.h"

namespace tally::simulation {
namespace {

/// A fault is in a seed or it is not: seeds with few kinds of faults go deeper than seeds with all.
double sometimes(Random& random, double most) {
  if (random.one_in(2)) return 0;
  return most * static_cast<double>(random.between(1, 100)) / 100;
}

broker::CoreOptions core_options(Random& random) {
  return {.first_check_ms = random.between(200, 1'500),
          .check_backoff_max_ms = 4'000,
          .check_answer_ms = random.between(150, 1'000),
          .check_budget = static_cast<std::uint32_t>(random.between(2, 6)),
          .transaction_lifetime_ms = 15'000,
          .lease_ms = random.between(200, 1'500),
          .attempts_max = static_cast<std::uint32_t>(random.between(3, 8)),
          .retry_backoff_ms = 50,
          .retry_backoff_max_ms = 1'000,
          .checkpoint_ms = random.between(100, 2'000),
          .idle_mark_ms = 100};
}

BrokerFaults broker_faults(Random& random) {
  BrokerFaults faults;
  for (double& death : faults.death) death = sometimes(random, 0.01);
  faults.death[static_cast<std::size_t>(BrokerStep::kWhileStarting)] = sometimes(random, 0.3);
  faults.death_per_s = sometimes(random, 0.4);
  faults.power_cut = sometimes(random, 0.8);
  faults.stop_per_s = sometimes(random, 0.15);
  faults.sync_failure = sometimes(random, 0.008);
  faults.slow_sync = sometimes(random, 0.1);
  faults.index_loss = sometimes(random, 0.6);
  faults.clock_jump_per_s = sometimes(random, 0.3);
  faults.disk_full_per_s = sometimes(random, 0.2);
  return faults;
}

ProducerFaults producer_faults(Random& random) {
  ProducerFaults faults;
  for (double& death : faults.death) death = sometimes(random, 0.08);
  faults.stop_per_s = sometimes(random, 0.1);
  faults.clock_jump_per_s = sometimes(random, 0.2);
  faults.database_failure = sometimes(random, 0.15);
  return faults;
}

double& death_at(ProducerFaults& faults, Step step) {
  return faults.death[static_cast<std::size_t>(step)];
}
double& death_at(BrokerFaults& faults, BrokerStep step) {
  return faults.death[static_cast<std::size_t>(step)];
}

/// Retention reaches what the run itself wrote. Nobody comes back to an id then when its decision may be forgotten.
void keep_little(Options& options) {
  options.core.transaction_lifetime_ms = 3'000;
  options.core.retention_ms = 7'000;
  options.segment_bytes = 32u << 10;
  options.faulty_ms = 25'000;
  options.id_of_caller = 0;
  options.call_timeout_ms = 3'000;
  options.producer.stopped_ms = 2'000;
}

void lean(Options& options) {
  if (options.leans_to(Race::kCheckDuringLocalWork)) {
    options.local_work_ms = 3 * options.core.first_check_ms;
  }
  if (options.leans_to(Race::kDeathAfterLocalCommit)) {
    death_at(options.producer, Step::kAfterLocalCommit) = 0.15;
  }
  if (options.leans_to(Race::kOtherInstanceAnswers)) {
    death_at(options.producer, Step::kAfterHalf) = 0.1;
    death_at(options.producer, Step::kInsideLocalWork) = 0.1;
  }
  if (options.leans_to(Race::kHalfRetried)) options.network.cut = 0.01;
  if (options.leans_to(Race::kHalfAfterGivingUp)) {
    options.call_timeout_ms = 60;
    options.network.slow = 0.4;
    options.network.slow_us = 150 * kMs;
  }
  if (options.leans_to(Race::kDeathBeforeApply)) {
    death_at(options.broker, BrokerStep::kAfterSync) = 0.01;
  }
  if (options.leans_to(Race::kDeathBeforeAnswer)) {
    death_at(options.broker, BrokerStep::kBeforeAnswer) = 0.01;
  }
  if (options.leans_to(Race::kClockJump)) {
    options.broker.clock_jump_per_s = 0.4;
    options.producer.clock_jump_per_s = 0.4;
  }
  if (options.leans_to(Race::kDownLongerThanRetention) ||
      options.leans_to(Race::kRetentionMeetsHalf)) {
    keep_little(options);
  }
  if (options.leans_to(Race::kDownLongerThanRetention)) {
    options.broker.death_per_s = 0.3;
    options.broker.long_down = 0.3;
  }
  if (options.leans_to(Race::kOldInstanceReturns)) options.producer.stop_per_s = 0.2;
  if (options.leans_to(Race::kPreparedTwice) && options.id_of_caller > 0)
    options.id_of_caller = 0.6;
  // A listener's rollback is believed later by as much as the broker's clock was set: such a run would not end.
  if (options.listeners) options.broker.clock_jump_per_s = 0;
}

}  // namespace

std::string_view name(Race race) {
  static constexpr std::array<std::string_view, kRaces> kNames = {
      "none",
      "check during local work",
      "death after local commit",
      "other instance answers",
      "commit meets rollback",
      "commit after park",
      "commit after rollback",
      "half retried",
      "half after giving up",
      "end delayed",
      "broker dies before apply",
      "broker dies before answer",
      "unrelated answers",
      "clock jump",
      "down longer than retention",
      "retention meets half",
      "old instance returns",
      "many pending at start",
      "end overtakes half",
      "prepared twice",
  };
  return kNames[index(race)];
}

Options options_for(std::uint64_t seed) {
  Random random(seed * 0x2545F4914F6CDD1D + 1);
  Options options;
  options.seed = seed;
  options.core = core_options(random);
  options.segment_bytes = 1ull << random.between(15, 17);
  options.network.slow = sometimes(random, 0.2);
  options.network.stall = sometimes(random, 0.01);
  options.network.cut = sometimes(random, 0.01);
  options.broker = broker_faults(random);
  options.producer = producer_faults(random);
  options.consumer = {.death_per_s = sometimes(random, 0.1),
                      .slow = sometimes(random, 0.1),
                      .nack = sometimes(random, 0.2),
                      .dead_letter = sometimes(random, 0.02)};
  options.listeners = random.one_in(3);
  for (std::size_t race = 1; race < kRaces; ++race) options.leans[race] = random.one_in(5);
  lean(options);
  return options;
}

std::string describe(const Options& options) {
  std::string text = "leans to";
  for (std::size_t race = 1; race < kRaces; ++race) {
    if (options.leans[race]) text.append(" [").append(name(Race(race))).append("]");
  }
  if (options.leans.none()) text.append(" nothing");
  return text;
}

}  // namespace tally::simulation
