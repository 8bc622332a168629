#pragma once
// What is no longer kept: when a base is due, up to which base the log may go, and when its size refuses new messages.
//
// Operation: once a second, and when a base was written, one step at a time: choose a base, load its queue rows, propose
// Retain records, and when all of them are applied give the cut. The horizon moves to the newest base that is older than
// retention, or as far as the log's size asks for; never to the newest of all bases, nor to one that is younger than twice
// the lifetime of transactions. Topics with a shorter retention lose messages by the same records, without a cut.
// Owned by the core; one thread. Everything here is volatile but what Retain records say.

#include <cstdint>
#include <string>
#include <vector>

#include "broker/core/topics.h"
#include "broker/core/transactions.h"

namespace tally::broker {

class Retention {
 public:
  Retention(Context& context, Topics& topics, Transactions& transactions)
      : context_(context), topics_(topics), transactions_(transactions) {}

  /// The bases that exist, ascending.
  void bases(std::vector<KnownBase> existing);
  /// Gives the newest horizon's cut again. `behind_ms`: of the retention clock, as the newest checkpoint had it.
  void serve(Now now, Lsn end, std::int64_t last_time_ms, std::int64_t behind_ms);
  void tick(Now now);

  bool base_due() const;
  /// The checkpoint that was taken is made a base.
  void base_taken();
  void base_written(const KnownBase& base);
  void base_failed();

  /// A record that a base should hold was applied.
  void changed() { changed_ = true; }
  /// A Retain of this core was applied.
  void applied(Lsn horizon);

  /// How far the retention clock is behind the logical one.
  std::int64_t clock_behind_ms() const { return context_.now_ms() - now_ms(); }

 private:
  struct Floors {
    Topic* topic = nullptr;
    store::RetainExtension retain{};
  };
  std::int64_t now_ms() const { return context_.retention_clock.now_ms(); }
  /// Before any other entry of a start, so that no start after it takes a clock that was set for time that has passed.
  void log_clock();
  std::int64_t age_ms(const KnownBase& base) const;
  const KnownBase* horizon_base() const;
  /// Everything before it is gone or may go.
  Lsn keep_from() const;
  std::uint64_t log_bytes(Lsn from) const;
  const KnownBase* next_horizon() const;
  const KnownBase* next_of_topics() const;
  const KnownBase* newest_older_than(std::int64_t age_ms) const;

  void step();
  void load(const KnownBase& base, bool horizon);
  void loaded(const KnownBase& base, bool horizon, const StoredPairs& rows);
  void propose(const KnownBase& base, bool horizon, std::vector<Floors>&& floors);
  bool concerns(const Topic& topic, const KnownBase& base, bool horizon) const;
  bool another_base_helps();
  const Transaction* oldest_open() const;
  void judge_size();
  std::string why_it_stays() const;
  void cut(const KnownBase& base);

  Context& context_;
  Topics& topics_;
  Transactions& transactions_;
  std::vector<KnownBase> bases_{};       ///< from the horizon on, readable as far as known
  KnownBase newest_{};                   ///< even when it is unreadable
  bool changed_ = false;                 ///< since the newest base
  bool making_ = false;                  ///< a base
  bool base_wanted_ = false;             ///< for want of room, before its time
  bool busy_ = false;                    ///< with a step
  std::size_t in_flight_ = 0;            ///< Retain records of this step
  std::int64_t clock_logged_ms_ = 0;     ///< how far behind it is by the log
  std::int64_t base_not_before_ms_ = 0;  ///< boot time
  std::int64_t step_at_ms_ = 0;          ///< boot time
  std::int64_t looked_at_ms_ =
      0;  ///< boot time at which another base was last judged by open transactions
  std::int64_t blamed_at_ms_ = 0;  ///< boot time at which `full` was last worded
};

}  // namespace tally::broker
