#pragma once
// The machine of the broker: its disk, its clock, and the process that serves from it.
//
// The process is the server's own start (broker::open_shard), BrokerCore, Log, jobs of bases and cuts, and the codec. What the
// server's threads do stands here as queues with delays of their own, in the same order as there: core, log and index each
// take what has come since they last looked. So the process can die between any two steps of a request: admitted, written,
// synced, applied, answered.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/server/base_job.h"
#include "broker/server/cut_job.h"
#include "broker/server/mail.h"
#include "broker/server/shard.h"
#include "tests/simulation/broker_sessions.h"
#include "tests/simulation/log_watch.h"
#include "tests/simulation/machine_index.h"
#include "tests/simulation/observer.h"
#include "tests/simulation/race_watch.h"
#include "tests/support/memory_file_system.h"

namespace tally::simulation {

class BrokerMachine final : public Process, public Network::Listener {
 public:
  struct Surroundings {
    Network& network;
    Observer& observer;
    RaceWatch& watch;
  };
  BrokerMachine(World& world, const Options& options, const Surroundings& surroundings);

  void switch_on();
  /// No faults from here on.
  void heal();

  /// Ends the process, and with `power_cut` the machine; both come back after a while.
  void die(bool power_cut, std::string_view why);
  void stop_orderly();
  void jump_clock(std::int64_t ms);

  std::uint64_t deaths() const { return deaths_; }

  /// Nothing is in flight.
  bool idle() const {
    return core_ != nullptr && core_->idle() && !core_->has_entry() && !checkpoint_running_;
  }
  /// Notes the broker's counters in the history.
  void tell_counters();
  /// State restored from index and log, and state rebuilt without the index, are the same; so is, when it serves with nothing
  /// in flight, the state that lived. Then it is the last thing this process does.
  void compare_states();

 private:
  enum class Stopping : std::uint8_t { kNo, kDraining, kMarking, kCheckpointing };
  // Network::Listener
  bool accept(Network::Connection connection, const Network::Client& client) override;
  void received(Network::Connection connection, std::string_view bytes) override;
  void closed(Network::Connection connection) override;

  // --- life (broker_machine.cc) ---
  broker::Now now() const { return {.wall_ms = wall_.at(world()), .boot_ms = boot_ms()}; }
  void boot();
  void recover();
  bool looks_at_log();
  void serve();
  void end_process(bool power_cut);
  bool fate(BrokerStep step);
  void die_now_and_then();
  void sweep_now_and_then();
  void retry_space_now_and_then();
  void tell_counters_now_and_then();
  void come_back();
  void fill_disk();
  void set_capacity(std::uint64_t bytes);

  // --- threads (broker_pipeline.cc) ---
  void wake_core();
  void round();
  void arm_timer();
  void feed_log();
  void write_log();
  void written();
  void feed_index();
  void index_does(Task task);
  void work_index();
  void write_checkpoint();
  void serve_load(const broker::Load& load);
  void work_in_background();
  /// False: the process ended.
  bool step_in_background();
  void distribute();
  void answer(broker::Effects& effects);
  void note_check(const broker::AskCheck& check);
  void advance_stop();
  std::uint64_t ends_in(const std::vector<std::unique_ptr<store::Entry>>& entries) const;

  const Options& options_;
  const Surroundings around_;
  Random random_;
  BrokerFaults faults_;
  const broker::Settings settings_;
  WallClock wall_{};
  std::uint64_t capacity_ = UINT64_MAX;  ///< of the disk
  std::unique_ptr<testing::MemoryFileSystem> disk_;
  MachineIndex index_{};
  LogWatch log_watch_;
  std::uint64_t acknowledged_ = 0;  ///< index of the newest entry that was reported durable
  std::uint64_t deaths_ = 0;
  std::uint64_t newest_session_ = 0;
  std::int64_t ended_ms_ = 0;  ///< of the world

  // Of one life of the process:
  broker::Shard shard_{};
  broker::BrokerCore* core_ = nullptr;  ///< of the shard, once it serves
  std::unique_ptr<BrokerSessions> sessions_{};
  broker::CoreMail inbox_{};
  std::map<std::uint64_t, std::string> clients_{};  ///< of sessions, as the history knows them
  bool core_awake_ = false;
  std::int64_t timer_us_ = 0;
  std::vector<std::unique_ptr<store::Entry>> to_log_{};   ///< handed over, not begun
  std::vector<std::unique_ptr<store::Entry>> durable_{};  ///< synced, not applied
  std::size_t entries_with_log_ = 0;
  bool log_busy_ = false;
  std::deque<Task> to_index_{};
  bool index_busy_ = false;
  bool checkpoint_running_ = false;
  std::unique_ptr<store::IndexBatch> checkpoint_{};  ///< being written
  broker::Counters counters_{};
  std::optional<broker::BaseJob> base_{};
  std::optional<broker::CutJob> cut_{};
  bool background_busy_ = false;
  std::deque<broker::Effects> outgoing_{};
  std::int64_t answered_us_ = 0;  ///< when the newest effects go out
  Stopping stopping_ = Stopping::kNo;
};

}  // namespace tally::simulation
