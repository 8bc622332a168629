#pragma once
// What a simulation is made of: how much work, which faults, towards which races it leans. All of it follows from the seed.

#include <array>
#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>

#include "broker/core/core_types.h"
#include "tests/simulation/network.h"

namespace tally::simulation {

/// The races of docs/guarantees.md, by their numbers there.
enum class Race : std::uint8_t {
  kCheckDuringLocalWork = 1,  ///< a check-back arrives while the local transaction still runs
  kDeathAfterLocalCommit,     ///< the producer dies between local commit and END
  kOtherInstanceAnswers,      ///< it dies before local commit, and another instance answers
  kCommitMeetsRollback,       ///< COMMIT races with a check answered ROLLBACK
  kCommitAfterPark,           ///< late COMMIT of a parked transaction
  kCommitAfterRollback,       ///< late COMMIT of one that is rolled back
  kHalfRetried,               ///< a half is sent again after a loss
  kHalfAfterGivingUp,         ///< a half is stored after its producer gave up on it
  kEndDelayed,                ///< END comes after a later transaction of the same id began
  kDeathBeforeApply,          ///< the broker dies when END is durable and not yet visible
  kDeathBeforeAnswer,         ///< the broker dies when END is applied and not yet answered
  kUnrelatedAnswers,          ///< somebody answers a check who was not asked
  kClockJump,                 ///< a wall clock jumps while transactions are open
  kDownLongerThanRetention,   ///< the broker is down for longer than retention
  kRetentionMeetsHalf,        ///< retention reaches a segment with a pending half
  kOldInstanceReturns,        ///< a stopped producer goes on after others decided
  kManyPendingAtStart,        ///< a crowd of pending halves at a restart
  kEndOvertakesHalf,          ///< END arrives before the last of several halves
  kPreparedTwice,             ///< one id is prepared twice at once
};
inline constexpr std::size_t kRaces = 20;  ///< 0 is none
inline std::size_t index(Race race) { return static_cast<std::size_t>(race); }
std::string_view name(Race race);

/// Where a producer may die.
enum class Step : std::uint8_t {
  kBeforePrepare,
  kAfterHalf,
  kInsideLocalWork,
  kAfterLocalCommit,
  kAfterEnd,
};
inline constexpr std::size_t kSteps = 5;

/// Where a broker may die, besides at any moment.
enum class BrokerStep : std::uint8_t {
  kBeforeWrite,
  kInsideWrite,  ///< between any two operations on files
  kAfterSync,
  kAfterApply,
  kBeforeAnswer,
  kWhileStarting,
};
inline constexpr std::size_t kBrokerSteps = 6;

struct BrokerFaults {
  std::array<double, kBrokerSteps> death{};  ///< probability at each step
  double death_per_s = 0;                    ///< at any moment
  double power_cut = 0;                      ///< of a death: of the whole machine
  double stop_per_s = 0;                     ///< orderly
  double sync_failure = 0;                   ///< of a write: an operation fails, once
  double slow_sync = 0;                      ///< of a write
  double index_loss = 0;                     ///< of a restart
  double disk_full_per_s = 0;
  double clock_jump_per_s = 0;
  std::int64_t down_ms = 1'000;  ///< at most, in the common case
  double long_down = 0;          ///< of an end: twice as long as retention
};

struct ProducerFaults {
  std::array<double, kSteps> death{};  ///< probability at each step
  double stop_per_s = 0;               ///< as by SIGSTOP
  std::int64_t stopped_ms = 8'000;     ///< at most
  double clock_jump_per_s = 0;
  std::int64_t down_ms = 3'000;
  double database_failure = 0;  ///< of a commit or a check: its outcome is not learned
};

struct ConsumerFaults {
  double death_per_s = 0;
  double slow = 0;  ///< of a message: its handler takes longer than the lease
  double nack = 0;
  double dead_letter = 0;
};

struct Options {
  std::uint64_t seed = 0;
  std::int64_t faulty_ms = 12'000;  ///< virtual time with work and faults
  std::int64_t drain_ms = 150'000;  ///< bound of what has to follow

  broker::CoreOptions core{};
  std::uint64_t segment_bytes = 64u << 10;
  NetworkFaults network{};
  BrokerFaults broker{};
  ProducerFaults producer{};
  ConsumerFaults consumer{};
  /// Producers without barrier: then the broker's wall clock does not jump.
  bool listeners = false;

  std::int64_t between_transactions_ms = 400;  ///< of one producer, on average
  std::int64_t local_work_ms = 40;             ///< at most, in the common case
  std::int64_t call_timeout_ms = 10'000;       ///< for storing a transaction's halves
  double id_of_caller = 0.15;
  double local_rollback = 0.2;

  std::bitset<kRaces> leans{};
  bool leans_to(Race race) const { return leans[index(race)]; }
};

Options options_for(std::uint64_t seed);
/// For people, one line.
std::string describe(const Options& options);

}  // namespace tally::simulation
