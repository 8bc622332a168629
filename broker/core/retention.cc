#include "broker/core/retention.h"

#include <algorithm>
#include <cstdlib>
#include <map>

#include "broker/core/index_keys.h"
#include "protocol/base/check.h"
#include "protocol/base/seeded_bug.h"

namespace tally::broker {
namespace {

constexpr std::int64_t kStepMs = 1'000;
constexpr std::int64_t kBaseAgainMs = 1'000;
constexpr std::int64_t kBasesPerRetention = 64;  // of the broker's, at most …
constexpr std::int64_t kBasesPerShortest = 16;   // … and of the shortest of all
constexpr std::int64_t kBaseMsMin = 1'000;
constexpr std::uint64_t kBasesPerSize = 16;
constexpr std::int64_t kLifetimesKept = 2;
constexpr std::int64_t kClockLoggedMs = 60'000;  // how exactly the log has the retention clock
constexpr std::int64_t kLookAgainMs = 30'000;    // at all open transactions

bool before(const KnownBase& base, Lsn lsn) { return base.lsn < lsn; }

std::string mebibytes(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

// --- bases ---

void Retention::bases(std::vector<KnownBase> existing) {
  bases_ = std::move(existing);
  if (!bases_.empty()) newest_ = bases_.back();
}

void Retention::serve(Now now, Lsn end, std::int64_t last_time_ms, std::int64_t behind_ms) {
  context_.retention_clock.start(now, last_time_ms, context_.now_ms(), behind_ms);
  clock_logged_ms_ = behind_ms;
  log_clock();
  changed_ = end > newest_.lsn;
  std::erase_if(bases_, [&](const KnownBase& base) { return base.lsn < context_.horizon; });
  if (context_.horizon.value == 0) return;
  if (const KnownBase* base = horizon_base()) cut(*base);
}

void Retention::log_clock() {
  const std::int64_t behind_ms = clock_behind_ms();
  if (std::abs(behind_ms - clock_logged_ms_) < kClockLoggedMs) return;
  clock_logged_ms_ = behind_ms;
  context_.proposals.propose(Waiter{}, context_.now_ms(), TopicUid{}, 0,
                             store::ClockExtension{behind_ms});
}

bool Retention::base_due() const {
  if (!context_.serving || making_ || !changed_) return false;
  if (context_.clock.boot_ms() < base_not_before_ms_) return false;
  if (context_.checkpoint.position().next <= newest_.lsn) return false;
  if (newest_.lsn.value == 0) return true;
  const std::int64_t retention_ms = context_.options.retention_ms;
  const std::int64_t every_ms = std::max({topics_.shortest_retention_ms() / kBasesPerShortest,
                                          retention_ms / kBasesPerRetention, kBaseMsMin});
  const std::int64_t since_ms = context_.now_ms() - newest_.time_ms;
  return since_ms >= (base_wanted_ ? kBaseMsMin : every_ms) ||
         log_bytes(newest_.lsn) >= context_.options.retention_bytes / kBasesPerSize;
}

void Retention::base_taken() {
  making_ = true;
  changed_ = false;
  base_wanted_ = false;
}

void Retention::base_written(const KnownBase& base) {
  making_ = false;
  newest_ = base;
  bases_.push_back(base);
  step_at_ms_ = 0;
}

void Retention::base_failed() {
  making_ = false;
  changed_ = true;
  base_not_before_ms_ = context_.clock.boot_ms() + kBaseAgainMs;
}

// --- which base ---

std::int64_t Retention::age_ms(const KnownBase& base) const { return now_ms() - base.time_ms; }

const KnownBase* Retention::horizon_base() const {
  const auto found = std::lower_bound(bases_.begin(), bases_.end(), context_.horizon, before);
  return found != bases_.end() && found->lsn == context_.horizon ? &*found : nullptr;
}

Lsn Retention::keep_from() const {
  const KnownBase* base = horizon_base();
  return base != nullptr ? base->oldest_needed : context_.horizon;
}

std::uint64_t Retention::log_bytes(Lsn from) const {
  const Lsn end = context_.checkpoint.position().next;
  return end > from ? end.value - from.value : 0;
}

const KnownBase* Retention::newest_older_than(std::int64_t age) const {
  const KnownBase* newest = nullptr;
  for (const KnownBase& base : bases_) {
    if (age_ms(base) > age) newest = &base;
  }
  return newest;
}

const KnownBase* Retention::next_horizon() const {
  const std::int64_t kept_ms = kLifetimesKept * context_.config.transaction_lifetime_ms;
  const bool too_large = log_bytes(keep_from()) > context_.options.retention_bytes;
  const KnownBase* next = nullptr;
  bool fits = false;
  for (std::size_t i = 0; i + 1 < bases_.size(); ++i) {
    const KnownBase& base = bases_[i];
    if (age_ms(base) < kept_ms) break;
    if (age_ms(base) > context_.options.retention_ms) {
      next = &base;
    } else if (too_large && !fits) {
      next = &base;
    }
    fits |= log_bytes(base.oldest_needed) <= context_.options.retention_bytes;
  }
  return next != nullptr && next->lsn > context_.horizon ? next : nullptr;
}

bool Retention::concerns(const Topic& topic, const KnownBase& base, bool horizon) const {
  if (horizon) return true;
  return topic.retention_ms != 0 && topic.retained < base.lsn && age_ms(base) > topic.retention_ms;
}

const KnownBase* Retention::next_of_topics() const {
  for (const Topic* topic : topics_.with_retention()) {
    const KnownBase* base = newest_older_than(topic->retention_ms);
    if (base != nullptr && concerns(*topic, *base, false)) return base;
  }
  return nullptr;
}

// --- one step ---

void Retention::tick(Now now) {
  context_.retention_clock.advance(now.boot_ms, context_.now_ms());
  if (TALLY_SEEDED_BUG("clock_step_deletes_segments")) {
    context_.retention_clock.start(now, 0, now.wall_ms, 0);
  }
  if (!context_.in_reserve()) log_clock();
  if (busy_ || context_.draining || now.boot_ms < step_at_ms_) return;
  step_at_ms_ = now.boot_ms + kStepMs;
  step();
}

void Retention::step() {
  if (const KnownBase* base = next_horizon()) return load(*base, true);
  if (const KnownBase* base = next_of_topics()) return load(*base, false);
  judge_size();
  if (!base_wanted_) base_wanted_ = another_base_helps();
  if (base_wanted_ && !changed_ && !making_) {
    context_.proposals.propose_mark(context_.now_ms());
    changed_ = true;
  }
}

// The horizon stops at the older of the two newest bases, which may need what the newest does not, or what none would need
// that is made now. Where new messages are refused, too little may come for another one to be due by itself.
bool Retention::another_base_helps() {
  if (context_.full.empty() && context_.space == store::Space::kEnough) return false;
  if (newest_.lsn.value == 0) return false;
  if (bases_.size() < 2) return true;
  const KnownBase& older = bases_[bases_.size() - 2];
  const KnownBase& newer = bases_.back();
  if (older.oldest_needed < std::min(older.lsn, newer.oldest_needed)) return true;
  if (newer.oldest_needed >= newer.lsn) return false;
  const std::int64_t boot_ms = context_.clock.boot_ms();
  if (boot_ms < looked_at_ms_ + kLookAgainMs) return false;
  looked_at_ms_ = boot_ms;
  const Transaction* oldest = oldest_open();
  return oldest == nullptr || oldest->lsn > newer.oldest_needed;
}

const Transaction* Retention::oldest_open() const {
  const Transaction* oldest = nullptr;
  transactions_.for_each([&](const Transaction& transaction) {
    if (is_open(transaction.state) && (oldest == nullptr || transaction.lsn < oldest->lsn)) {
      oldest = &transaction;
    }
  });
  return oldest;
}

void Retention::load(const KnownBase& base, bool horizon) {
  busy_ = true;
  // From the configuration on: each base has that row, so that no row at all means an unreadable base.
  context_.loads.scan_base(base.lsn, keys::prefix(context_.shard, keys::Kind::kConfig),
                           keys::prefix_end(context_.shard, keys::Kind::kQueue),
                           [this, base, horizon](StoredPairs&& rows) {
                             busy_ = false;
                             loaded(base, horizon, rows);
                           });
}

void Retention::loaded(const KnownBase& base, bool horizon, const StoredPairs& rows) {
  const std::string queues = keys::prefix(context_.shard, keys::Kind::kQueue);
  std::map<std::uint32_t, Floors> moved;
  bool readable = !rows.empty();
  for (const auto& [key, value] : rows) {
    if (!key.starts_with(queues)) continue;
    keys::KeyReader reader(key);
    Topic* topic = topics_.find(TopicUid(reader.u32()));
    const std::uint32_t queue = reader.u32();
    const auto row = decode_queue(value);
    if (!reader.done() || !row || topic == nullptr || queue >= topic->queues.size()) {
      readable = false;
      break;
    }
    if (!concerns(*topic, base, horizon) || row->next <= topic->queues[queue].first) continue;
    Floors& floors = moved[topic->uid.value];
    floors.topic = topic;
    floors.retain.floors.push_back({.queue = queue, .first = row->next});
  }
  if (!readable) {
    ++context_.counters.bases_unreadable;
    std::erase_if(bases_, [&](const KnownBase& known) { return known.lsn == base.lsn; });
    return;
  }
  std::vector<Floors> floors;
  for (auto& [uid, each] : moved) floors.push_back(std::move(each));
  propose(base, horizon, std::move(floors));
}

void Retention::propose(const KnownBase& base, bool horizon, std::vector<Floors>&& floors) {
  for (Topic* topic : topics_.with_retention()) {
    if (concerns(*topic, base, horizon)) topic->retained = std::max(topic->retained, base.lsn);
  }
  if (horizon) {
    // The last record moves the horizon: what is cut then is given up by all the others.
    if (floors.empty()) floors.emplace_back();
    floors.back().retain.horizon = base.lsn;
    floors.back().retain.horizon_ms = base.time_ms;
  }
  in_flight_ = floors.size();
  busy_ = in_flight_ != 0;
  for (const Floors& each : floors) {
    context_.proposals.propose(Waiter{}, context_.now_ms(),
                               each.topic != nullptr ? each.topic->uid : TopicUid{},
                               each.retain.flags(), each.retain);
  }
}

void Retention::applied(Lsn horizon) {
  busy_ = --in_flight_ != 0;
  step_at_ms_ = 0;
  if (horizon.value == 0) return;
  std::erase_if(bases_, [&](const KnownBase& base) { return base.lsn < horizon; });
  const KnownBase* base = horizon_base();
  TALLY_CHECK(base != nullptr);
  cut(*base);
}

void Retention::cut(const KnownBase& base) {
  // A message committed late is old by its commit, not by the half that holds its bytes.
  const bool by_storage = TALLY_SEEDED_BUG("retention_by_storage_time");
  context_.effects.cut =
      Cut{.horizon = base.lsn, .keep_from = by_storage ? base.lsn : base.oldest_needed};
}

// --- size ---

void Retention::judge_size() {
  const std::uint64_t allowed = context_.options.retention_bytes;
  const std::uint64_t most = allowed > UINT64_MAX / 2 ? UINT64_MAX : allowed + allowed / 8;
  if (log_bytes(keep_from()) <= most) return context_.full.clear();
  const std::int64_t boot_ms = context_.clock.boot_ms();
  if (!context_.full.empty() && boot_ms < blamed_at_ms_ + kLookAgainMs) return;
  blamed_at_ms_ = boot_ms;
  context_.full = "the log holds " + mebibytes(log_bytes(keep_from())) + " where " +
                  mebibytes(allowed) + " are allowed, and " + why_it_stays();
}

std::string Retention::why_it_stays() const {
  const KnownBase* base = horizon_base();
  if (base != nullptr && log_bytes(base->lsn) <= context_.options.retention_bytes) {
    const Transaction* oldest = oldest_open();
    if (oldest != nullptr && oldest->lsn < base->lsn) {
      return "transaction " + std::string(oldest->id()) + ", open for " +
             std::to_string((context_.now_ms() - oldest->time_ms) / 60'000) + " min, keeps it";
    }
  }
  return "nothing older than twice a transaction's lifetime, " +
         std::to_string(context_.config.transaction_lifetime_ms * kLifetimesKept) +
         " ms, is left to give up";
}

}  // namespace tally::broker
