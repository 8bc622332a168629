#pragma once
// What the parts of the core share: settings, time, the way to the log, to the index and to clients.

#include <functional>
#include <string>
#include <unordered_map>
#include <utility>

#include "broker/core/broker_core.h"
#include "broker/core/checkpoint.h"
#include "broker/core/decision_times.h"
#include "broker/core/logical_clock.h"
#include "broker/core/proposals.h"
#include "broker/core/timer_wheel.h"

namespace tally::broker {

using StoredPairs = std::vector<std::pair<std::string, std::string>>;

/// Questions to the index and what to do with their answers.
class Loads {
 public:
  using Then = std::function<void(StoredPairs&&)>;
  explicit Loads(Effects& effects) : effects_(effects) {}
  void get(std::string key, Then then) { scan(std::move(key), {}, 1, std::move(then)); }
  void scan(std::string from, std::string to, std::uint32_t limit, Then then) {
    ask({.from = std::move(from), .to = std::move(to), .limit = limit}, std::move(then));
  }
  void scan_base(Lsn base, std::string from, std::string to, Then then) {
    ask({.base = base, .from = std::move(from), .to = std::move(to), .limit = UINT32_MAX},
        std::move(then));
  }
  void loaded(Loaded&& values) {
    auto node = waiting_.extract(values.ticket);
    if (!node.empty()) node.mapped()(std::move(values.values));
  }
  bool idle() const { return waiting_.empty(); }

 private:
  void ask(Load&& load, Then then) {
    load.ticket = next_ticket_++;
    waiting_.emplace(load.ticket, std::move(then));
    effects_.loads.push_back(std::move(load));
  }

  Effects& effects_;
  std::uint64_t next_ticket_ = 1;
  std::unordered_map<std::uint64_t, Then> waiting_{};
};

struct Context {
  Context(const CoreOptions& core_options, ShardId shard_id, LogId log_id)
      : options(core_options), shard(shard_id), log(log_id) {}

  std::int64_t now_ms() const { return clock.now_ms(); }
  /// For how long local work of a transaction prepared at `since_ms` may still begin to commit, at most; negative: no more. By
  /// the retention clock, so that a clock that is set ends no lifetime; and a tenth longer, because a clock that is drawn
  /// to another one may run that much too fast.
  std::int64_t lifetime_left_ms(std::int64_t since_ms, std::int64_t lifetime_ms) const {
    return since_ms + lifetime_ms + lifetime_ms / 10 - retention_clock.now_ms();
  }

  void answer(const Waiter& waiter, Response&& response);
  void answer(const Waiter& waiter, Error error);
  void refuse(const Waiter& waiter, ErrorCode code, std::string message);
  /// Whether new messages are taken in; answers the waiter when not.
  bool takes_messages(const Waiter& waiter);
  /// Whether there is room for what is not the end of something begun; answers the waiter when not.
  bool has_room(const Waiter& waiter);
  /// What is left of the disk is kept for ENDs.
  bool in_reserve() const { return space == store::Space::kReserve; }

  const CoreOptions options;
  const ShardId shard;
  const LogId log;
  LogicalClock clock{};
  RetentionClock retention_clock{};
  TimerWheel wheel{};
  Effects effects{};
  Loads loads{effects};
  Proposals proposals{options.entry_bytes_max};
  Checkpoint checkpoint{log};
  store::ConfigExtension config{};  ///< as logged; what apply reads
  EntryIndex applied{};
  Lsn horizon{};                ///< decisions of ENDs before it are no longer known
  std::int64_t horizon_ms = 0;  ///< time of that, or of the first entry; 0: there is none
  BrokerCore::Counters counters{};
  DecisionTimes decision_times{};
  bool serving = false;
  bool draining = false;
  store::Space space = store::Space::kEnough;
  std::uint64_t end_bytes_reserved = 0;  ///< of ENDs that stored halves may need
  std::string full{};  ///< why the log has no room for new messages; empty: it has
};

/// A record as apply sees it: its place in time and who waits for it.
struct Applying {
  const store::RecordView& record;
  std::int64_t time_ms;
  Waiter waiter;
};

}  // namespace tally::broker
