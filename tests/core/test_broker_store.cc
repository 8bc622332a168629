// The log, the index and the bases of a TestBroker.

#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/core/test_broker.h"

namespace tally::broker {

void TestBroker::replay(BrokerCore& core, const store::IndexView& index) {
  REQUIRE(core.restore(index));
  const auto position = index.position().value();
  for (const Stored& stored : log_) {
    if (position && stored.header.index <= position->applied) continue;
    store::EntryView view{.header = stored.header, .records = {}};
    for (const auto& [header, extension] : stored.records) {
      view.records.push_back({.header = header, .extension = extension});
    }
    const auto replayed = core.replay(view);
    if (!replayed) FAIL(replayed.error().message);
    if (&core == core_.get() && core.checkpoint_due()) checkpoint();
  }
}

void TestBroker::fill(store::IndexStore& index, const Base& base) {
  store::IndexBatch batch{.operations = {}, .position = base.position};
  for (const auto& [key, value] : base.rows) batch.operations.push_back({key, value});
  REQUIRE(index.write(batch));
}

Result<void> TestBroker::complete_from_newest_base() {
  const auto index = store::make_memory_index();
  fill(*index, bases_.rbegin()->second);
  BrokerCore core(options, ShardId(0), log_id_);
  replay(core, *index);
  return core.complete();
}

std::size_t TestBroker::rows(keys::Kind kind) const {
  std::size_t count = 0;
  REQUIRE(index_->scan(keys::prefix(ShardId(0), kind), keys::prefix_end(ShardId(0), kind),
                       [&](std::string_view, std::string_view) { return ++count > 0; }));
  return count;
}

void TestBroker::make_base(const store::ReplayFrom& position) {
  if (bases_fail) return core_->base_failed();
  Base base{
      .known = {.lsn = position.next, .oldest_needed = position.next, .time_ms = position.time_ms},
      .position = position,
      .rows = {}};
  for (const keys::Kind kind : base_kinds()) {
    REQUIRE(index_->scan(keys::prefix(ShardId(0), kind), keys::prefix_end(ShardId(0), kind),
                         [&](std::string_view key, std::string_view row) {
                           base.rows.emplace(key, row);
                           if (kind != keys::Kind::kOpen) return true;
                           const auto oldest = oldest_half(key, row);
                           REQUIRE(oldest.has_value());
                           base.known.oldest_needed = std::min(base.known.oldest_needed, *oldest);
                           return true;
                         }));
  }
  core_->base_written(base.known);
  bases_[position.next] = std::move(base);
}

void TestBroker::carry_out(const Cut& cut) {
  cut_ = cut;
  REQUIRE(bases_.contains(cut.horizon));
  bases_.erase(bases_.begin(), bases_.lower_bound(cut.horizon));
  while (!log_.empty() && log_.front().header.end() <= cut.keep_from) log_.pop_front();
  const auto position = index_->position().value();
  if (keep_rows || !position) return;
  store::IndexBatch forgotten;
  forgotten.position = *position;
  REQUIRE(index_->scan(keys::prefix(ShardId(0), keys::Kind::kDecided),
                       keys::prefix_end(ShardId(0), keys::Kind::kDecided),
                       [&](std::string_view key, std::string_view row) {
                         const auto end = end_of_decided(key, row);
                         REQUIRE(end.has_value());
                         if (*end < cut.horizon)
                           forgotten.operations.push_back({std::string(key), {}});
                         return true;
                       }));
  REQUIRE(index_->write(forgotten));
}

void TestBroker::store_entry(const store::EntryView& entry) {
  Stored stored{.header = entry.header, .records = {}};
  for (const auto& record : entry.records) {
    stored.records.emplace_back(record.header, std::string(record.extension));
  }
  if (!log_.empty()) {
    REQUIRE(stored.header.lsn == log_.back().header.end());
    REQUIRE(stored.header.time_ms >= log_.back().header.time_ms);
  }
  log_.push_back(std::move(stored));
}

void TestBroker::append(store::RecordType type, std::string_view extension) {
  run();
  const store::EntryHeader& last = log_.back().header;
  store::Entry entry;
  entry.begin(EntryIndex(last.index.value + 1), Term(1), last.end());
  entry.add(type, 0, TopicUid{}, extension);
  entry.seal(last.time_ms);
  store_entry(entry.view());
}

void TestBroker::checkpoint() {
  const bool base = core_->base_due();
  const auto batch = core_->take_checkpoint();
  REQUIRE(index_->write(*batch));
  core_->checkpoint_done();
  if (base) make_base(batch->position);
  if (serving_) core_->tick(now_);  // lets it forget what the index holds now
  collect();
}

std::uint64_t TestBroker::records(store::RecordType type) const {
  std::uint64_t count = 0;
  for (const Stored& entry : log_) {
    for (const auto& [header, extension] : entry.records) count += header.type == type;
  }
  return count;
}

}  // namespace tally::broker
