#pragma once
// The state machine of one shard: every decision of the broker is made here.
//
// Operation: admit() takes requests and puts commands into the open entry; take_entry() seals it for the log; committed()
// applies a durable entry and answers. restore() and replay() rebuild the state at start through the same apply.
// Concurrency: one thread. No I/O, no clock, no randomness: time comes in with tick(), all else with calls.
// Limits: CoreOptions. Over them requests are refused with a definite error; nothing grows without bound.
//
// Apply (state at index i-1, entry i) decides; admission only refuses early and reserves. So state is a function of the log.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "broker/core/core_types.h"
#include "store/space.h"

namespace tally::broker {

class BrokerCore {
 public:
  BrokerCore(const CoreOptions& options, ShardId shard, LogId log);
  ~BrokerCore();

  // --- start: restore(), replay()…, then serve() -----------------------------------------------------------------
  /// Loads the checkpoint that `index` holds. `index` must live until serve(): replay looks keys up in it.
  Result<void> restore(const store::IndexView& index);
  /// Applies one entry of the log. Error: DATA_DAMAGED when a record does not decode. After each one the caller writes a
  /// checkpoint into `index` when checkpoint_due(), so that rebuilding a long log needs no more memory than serving it.
  Result<void> replay(const store::EntryView& entry);
  /// The bases that exist, ascending. Once, before serve().
  void bases(std::vector<KnownBase> existing);
  /// After the last replay(): DATA_DAMAGED when what was restored lacks messages that are kept. So it is when a base was
  /// restored that is newer than the log's horizon.
  Result<void> complete() const;
  /// Ends the start: the next entry begins at `end`. Proposes Config when the options differ from the logged ones.
  void serve(Now now, EntryIndex last_index, Lsn end, std::int64_t last_time_ms);

  // --- work -----------------------------------------------------------------------------------------------------------
  void session_opened(SessionId session, std::string client);
  /// Gives its leases back at once; its waiting receives and unanswered requests are dropped.
  void session_closed(SessionId session);
  /// Requests of one read of one session, in order. `bytes` holds the blocks' memory.
  void admit(std::span<Command> commands, const store::Keepalive& bytes);
  /// The client's receipt for a check (or its connection broke: then session_closed() is enough).
  void check_received(SessionId session, std::uint64_t challenge);
  /// Counted once for its group, until the next start.
  void message_damaged(const DamagedMessage& message);
  void loaded(Loaded&& values);
  /// Takes over the time and fires timers.
  void tick(Now now);
  /// Boot time in ms at which tick() has something to do next.
  std::int64_t next_tick_ms() const;
  /// The broker's time, as it stands in entries.
  std::int64_t now_ms() const;

  // --- the log -----------------------------------------------------------------------------------------------------
  bool has_entry() const;
  /// Seals and hands over the open entry.
  std::unique_ptr<store::Entry> take_entry();
  /// The oldest taken entry is durable (and with it committed). Applies it and keeps the object for reuse.
  void committed(std::unique_ptr<store::Entry> entry);
  /// Over the hard limit of bytes in flight: sessions stop reading.
  bool must_pause_reading() const;

  // --- the index ----------------------------------------------------------------------------------------------------
  bool checkpoint_due() const;
  /// All that changed since the last one. One at a time: the next after checkpoint_done().
  std::unique_ptr<store::IndexBatch> take_checkpoint();
  void checkpoint_done();
  /// A base should be made of the checkpoint that is taken next. One at a time: none is due until base_written(), or
  /// base_failed(), which puts it off.
  bool base_due() const;
  void base_written(const KnownBase& base);
  void base_failed();
  /// How much room the log has. Sends and halves are refused with DISK_FULL unless there is enough; settles, and what the
  /// core proposes by itself, while the reserve is in use; ENDs never.
  void set_space(store::Space space);

  // --- stop ---------------------------------------------------------------------------------------------------------
  /// From now on sends and halves are refused with SHUTTING_DOWN; waiting receives are answered empty.
  void drain();
  /// True when nothing is admitted and not yet applied.
  bool idle() const;
  /// Puts an empty Mark into the open entry, as the last one of a clean stop.
  void propose_mark();

  Effects& effects();
  EntryIndex applied() const;

  struct Counters {
    // Since the start of serving.
    std::uint64_t sends = 0, halves = 0, conflicts = 0, grants = 0, settles = 0, expired_leases = 0;
    std::uint64_t repeated_sends = 0;  ///< numbered messages that were there already
    struct Decided {
      std::uint64_t commit = 0, rollback = 0;
    };
    std::array<Decided, 5> decisions{};  ///< by tally::Decider
    std::uint64_t checks_sent = 0, checks_delivered = 0;
    std::uint64_t checks_commit = 0, checks_rollback = 0, checks_unknown = 0;  ///< their answers
    std::uint64_t checks_timed_out = 0;  ///< no answer came in time
    std::uint64_t overloaded = 0;
    std::uint64_t lost = 0;       ///< messages that groups lost by retention
    std::uint64_t disk_full = 0;  ///< requests refused for want of space
    // Now.
    std::uint64_t pending = 0, parked = 0;
    std::uint64_t no_checker_waiting = 0;  ///< transactions that are due, with nobody to ask
    std::uint64_t oldest_pending_ms = 0;   ///< its age
    std::uint64_t decision_p50_ms = 0, decision_p99_ms = 0;  ///< from PREPARE, at most 1/8 too much
    std::uint64_t horizon_ms = 0;          ///< for how long decisions are known by now
    std::uint64_t end_bytes_reserved = 0;  ///< of the log, for ENDs of open transactions
    std::uint64_t bases_unreadable = 0;    ///< that retention wanted to read
    std::uint64_t horizon = 0;             ///< LSN: decisions of ENDs before it are not known
    std::uint64_t retention_clock_behind_ms = 0;

    void decided(Decision decision, Decider decider) {
      Decided& by = decisions.at(static_cast<std::size_t>(decider));
      ++(decision == Decision::kCommit ? by.commit : by.rollback);
    }
    const Decided& by(Decider decider) const {
      return decisions.at(static_cast<std::size_t>(decider));
    }
  };
  Counters counters() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tally::broker
