#include "broker/server/base_job.h"

#include <catch2/catch.hpp>
#include <map>

#include "broker/core/transactions.h"
#include "tests/support/memory_file_system.h"

namespace tally::broker {
namespace {

using keys::Kind;
using Rows = std::map<std::string, std::string>;

const std::string kDirectory = "/data/0/base";
constexpr ShardId kShard{0};
constexpr Lsn kNext{1 << 20};

std::string open_row(const std::string& id, Lsn half) {
  Transaction transaction;
  transaction.id_text.set(id);
  transaction.state = TxState::kPending;
  transaction.halves.push_back({.message = {.lsn = half}, .number = 1});
  return encode_open(transaction);
}

struct Indexed {
  testing::MemoryFileSystem files{};
  std::unique_ptr<store::IndexStore> index = store::make_memory_index();
  store::ReplayFrom position{.applied = EntryIndex(9), .next = kNext, .time_ms = 77};

  void write(const Rows& rows) {
    store::IndexBatch batch{.position = position};
    for (const auto& [key, value] : rows) batch.operations.push_back({key, value});
    index->write(batch).value();
  }

  /// The base, and how many steps it took.
  Result<std::pair<KnownBase, int>> make() {
    BaseJob job(*index, files, kDirectory, kShard);
    for (int steps = 1;; ++steps) {
      TALLY_TRY(const auto made, job.step());
      if (made) return std::pair(*made, steps);
    }
  }

  Rows base_rows() {
    Rows rows;
    store::read_base(files, kDirectory, kNext, [&](std::string_view key, std::string_view value) {
      return rows.emplace(key, value).second;
    }).value();
    return rows;
  }
};

/// Rows of every kind that a base holds.
Rows live_rows() {
  return {{keys::prefix(kShard, Kind::kConfig), "config"},
          {keys::topic(kShard, TopicUid(1)), "topic"},
          {keys::queue(kShard, TopicUid(1), QueueId(0)), "queue"},
          {keys::group(kShard, GroupUid(1)), "group"},
          {keys::subscription(kShard, GroupUid(1), TopicUid(1)), "subscription"},
          {keys::progress(kShard, GroupUid(1), TopicUid(1), QueueId(0)), "progress"},
          {keys::transaction(kShard, Kind::kOpen, "young"), open_row("young", Lsn(9'000))},
          {keys::transaction(kShard, Kind::kOpen, "old"), open_row("old", Lsn(8'000))}};
}

TEST_CASE("a base holds the live rows, and nothing of queues' blocks and decisions") {
  Indexed indexed;
  const Rows live = live_rows();
  indexed.write(live);
  indexed.write({{keys::block(kShard, TopicUid(1), QueueId(0), 0), "block"},
                 {keys::transaction(kShard, Kind::kDecided, "x"), "decided"},
                 {keys::prefix(kShard, Kind::kForgotten), "forgotten"}});
  const KnownBase base = indexed.make().value().first;
  CHECK(indexed.base_rows() == live);
  CHECK(base.lsn == kNext);
  CHECK(base.oldest_needed == Lsn(8'000));
  CHECK(base.time_ms == 77);
}

TEST_CASE("a base without open transactions needs nothing before itself") {
  Indexed indexed;
  indexed.write({{keys::prefix(kShard, Kind::kConfig), "config"}});
  CHECK(indexed.make().value().first.oldest_needed == kNext);
}

TEST_CASE("a base is of one moment, though it takes many steps and the index goes on") {
  Indexed indexed;
  Rows live = live_rows();
  for (std::uint32_t topic = 2; topic < 6'000; ++topic) {
    live[keys::topic(kShard, TopicUid(topic))] = std::string(200, 't');
  }
  indexed.write(live);
  BaseJob job(*indexed.index, indexed.files, kDirectory, kShard);
  int steps = 1;
  for (; !job.step().value(); ++steps) {
    indexed.write({{keys::topic(kShard, TopicUid(1)), "later"},
                   {keys::topic(kShard, TopicUid(100'000)), "later"}});
  }
  CHECK(steps > 5);
  CHECK(indexed.base_rows() == live);
}

TEST_CASE("an open transaction that does not decode is an error of the index") {
  Indexed indexed;
  indexed.write({{keys::transaction(kShard, Kind::kOpen, "x"), "no row"}});
  BaseJob job(*indexed.index, indexed.files, kDirectory, kShard);
  REQUIRE(job.step());
  const auto failed = job.step();
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code == ErrorCode::kDataDamaged);
  CHECK(job.of_index());
}

TEST_CASE("errors while a base is made are not taken for the index's, and leave none") {
  Indexed whole;
  whole.write(live_rows());
  REQUIRE(whole.make());
  for (std::uint64_t number = 0; number < whole.files.operations(); ++number) {
    Indexed indexed;
    indexed.write(live_rows());
    indexed.files.inject({.number = number, .code = ErrorCode::kDiskFull});
    {
      BaseJob job(*indexed.index, indexed.files, kDirectory, kShard);
      auto made = job.step();
      while (made && !*made) made = job.step();
      CAPTURE(number);
      REQUIRE_FALSE(made);
      CHECK(made.error().code == ErrorCode::kDiskFull);
      CHECK_FALSE(job.of_index());
    }
    CHECK(store::list_base_positions(indexed.files, kDirectory).value().empty());
    CHECK(indexed.make());
  }
}

TEST_CASE("a base of the same position is made once") {
  Indexed indexed;
  indexed.write(live_rows());
  const auto first = indexed.make().value();
  const std::uint64_t operations = indexed.files.operations();
  const auto second = indexed.make().value();
  CHECK(second.first.lsn == first.first.lsn);
  CHECK(second.first.oldest_needed == first.first.oldest_needed);
  CHECK(second.second == 1);
  CHECK(indexed.files.operations() == operations);
}

}  // namespace
}  // namespace tally::broker
