#include "broker/server/cut_job.h"

#include <catch2/catch.hpp>

#include "broker/core/index_keys.h"
#include "broker/core/transactions.h"
#include "store/record_extensions.h"
#include "tests/store/log_fixture.h"

namespace tally::broker {
namespace {

using keys::Kind;
using testing::LogFixture;

const std::string kBases = "/data/0/base";
constexpr ShardId kShard{0};

std::string id_of(int number) { return "transaction " + std::to_string(number); }

/// A log of ENDs, several segments long, with their decisions in the index and two bases.
struct Decided : LogFixture {
  std::unique_ptr<store::IndexStore> index = store::make_memory_index();
  Counters counters{};
  std::vector<Lsn> ends{};      ///< LSN of the END of each id
  std::vector<Lsn> horizons{};  ///< where an entry ends
  store::ReplayFrom position{};
  const std::string block = testing::make_block(std::string(9'000, 'x'));

  explicit Decided(int transactions = 40) {
    open().value();
    for (int number = 0; number < transactions; ++number) add_end(number);
    make_base(horizons[10]);
    make_base(horizons[20]);
    make_base(horizons[30]);
  }

  /// An entry with a message, and an END of this id.
  void add_end(int number) {
    store::Entry entry;
    entry.begin(EntryIndex(log->last_index().value + 1), Term(1), log->end());
    entry.add(store::RecordType::kAppend, 0, TopicUid(7), {}, block, testing::trailer(block));
    const std::string id = id_of(number);
    std::string extension;
    encode(store::EndExtension{.decision = Decision::kCommit, .transaction = id, .group = "g"},
           extension);
    const Lsn lsn = entry.add(store::RecordType::kEnd, 0, TopicUid(), extension);
    entry.seal(1'000);
    store::Entry* const entries[] = {&entry};
    log->write(entries).value();
    ends.push_back(lsn);
    horizons.push_back(log->end());
    position = {.applied = log->last_index(),
                .next = log->end(),
                .entry_checksum = entry.header().checksum,
                .time_ms = entry.header().time_ms,
                .log = options.new_log_id};
    Transaction transaction;
    transaction.id_text.set(id);
    transaction.state = TxState::kCommitted;
    transaction.decided_lsn = lsn;
    write(keys::transaction(kShard, Kind::kDecided, id), encode_decided(transaction));
  }
  void write(std::string key, std::string value) {
    index->write({.operations = {{std::move(key), std::move(value)}}, .position = position})
        .value();
  }
  void make_base(Lsn lsn) {
    auto writer =
        store::BaseWriter::begin(*files, kBases, kShard, {.applied = EntryIndex(1), .next = lsn})
            .value();
    writer.add("key", "value").value();
    writer.finish(lsn).value();
  }

  bool known(int number) const {
    return index->get(keys::transaction(kShard, Kind::kDecided, id_of(number))).value().has_value();
  }
  std::vector<Lsn> bases() const { return store::list_base_positions(*files, kBases).value(); }

  std::unique_ptr<CutJob> job(const Cut& cut) {
    auto made = std::make_unique<CutJob>(*index, *log, *files, kBases, kShard, counters);
    made->begin(cut);
    return made;
  }
  static Result<void> run(CutJob& job) {
    while (!job.done()) TALLY_TRY_VOID(job.step());
    return {};
  }
  Cut cut_at(std::size_t entry) const {
    return {.horizon = horizons[entry], .keep_from = horizons[entry]};
  }
};

TEST_CASE("a cut forgets decisions before the horizon, removes older bases and segments") {
  Decided decided;
  const auto job = decided.job(decided.cut_at(20));
  REQUIRE(Decided::run(*job));
  for (int number = 0; number < 40; ++number) {
    CAPTURE(number);
    CHECK(decided.known(number) == (number > 20));
  }
  CHECK(decided.bases() == std::vector{decided.horizons[20], decided.horizons[30]});
  CHECK(decided.log->first() > Lsn(0));
  CHECK(decided.log->first() <= decided.horizons[20]);
  CHECK(decided.counters.bases == 2);
  CHECK(decided.counters.log_first == decided.log->first().value);
  CHECK(decided.index->position().value() == decided.position);
}

TEST_CASE("a decision of an id that was used again after the horizon stays") {
  Decided decided;
  decided.add_end(3);
  REQUIRE(Decided::run(*decided.job(decided.cut_at(20))));
  CHECK_FALSE(decided.known(2));
  CHECK(decided.known(3));
}

TEST_CASE("segments that the horizon's base needs stay") {
  Decided decided;
  Cut cut = decided.cut_at(20);
  cut.keep_from = decided.ends[0];
  REQUIRE(Decided::run(*decided.job(cut)));
  CHECK(decided.log->first() == Lsn(0));
  CHECK_FALSE(decided.known(20));
  CHECK(decided.bases().front() == decided.horizons[20]);
}

TEST_CASE("a cut goes on after any number of its steps, with a new process or a later cut") {
  Decided whole;
  int steps = 0;
  for (const auto job = whole.job(whole.cut_at(20)); !job->done(); ++steps) job->step().value();
  REQUIRE(steps > 8);
  for (int stop = 0; stop < steps; ++stop) {
    const bool later = stop % 2 == 1;
    Decided decided;
    auto job = decided.job(decided.cut_at(20));
    for (int step = 0; step < stop; ++step) REQUIRE(job->step());
    CAPTURE(stop);
    if (later) {
      job->begin(decided.cut_at(30));
    } else {
      job.reset();
      REQUIRE(decided.open(decided.position));
      REQUIRE(decided.report.checkpoint_matched);
      job = decided.job(decided.cut_at(30));
    }
    REQUIRE(Decided::run(*job));
    CHECK_FALSE(decided.known(0));
    CHECK_FALSE(decided.known(30));
    CHECK(decided.known(31));
    CHECK(decided.bases() == std::vector{decided.horizons[30]});
    for (const std::string& name : decided.files->list(decided.options.directory).value()) {
      CHECK_FALSE(name.ends_with(".gone"));
    }
  }
}

TEST_CASE("what was forgotten is not looked for again") {
  Decided decided;
  REQUIRE(Decided::run(*decided.job(decided.cut_at(20))));
  // Nobody puts such a row back; it tells whether the job walks there.
  Cut same = decided.cut_at(20);
  decided.write(keys::transaction(kShard, Kind::kDecided, id_of(20)), "row");
  REQUIRE(Decided::run(*decided.job(same)));
  CHECK(decided.known(20));
  const auto row = decided.index->get(keys::prefix(kShard, Kind::kForgotten)).value();
  CHECK(keys::decode_forgotten(row) == decided.horizons[20]);
}

TEST_CASE("nothing is removed while the horizon's base is damaged or missing") {
  Decided decided;
  const std::string path = kBases + "/" + store::lsn_name(decided.horizons[20], ".base");
  SECTION("damaged") {
    std::string content = decided.files->content(path);
    content[4'130] ^= 1;
    decided.files->set_content(path, content);
  }
  SECTION("missing") { decided.files->remove(path).value(); }
  const auto before = decided.bases();
  REQUIRE(Decided::run(*decided.job(decided.cut_at(20))));
  CHECK(decided.bases() == before);
  CHECK(decided.log->first() == Lsn(0));
  REQUIRE(Decided::run(*decided.job(decided.cut_at(30))));
  CHECK(decided.bases() == std::vector{decided.horizons[30]});
  CHECK(decided.log->first() > Lsn(0));
}

TEST_CASE("a cut waits for the first checkpoint of a rebuilt index") {
  Decided decided;
  decided.index = store::make_memory_index();
  const auto job = decided.job(decided.cut_at(20));
  for (int i = 0; i < 3; ++i) CHECK(job->step().value() == CutJob::Pace::kWait);
  CHECK_FALSE(job->done());
  decided.write("checkpoint", "first");
  REQUIRE(Decided::run(*job));
  CHECK(decided.log->first() > Lsn(0));
}

TEST_CASE("a cut goes on without the index when that has no room") {
  Decided decided;
  const auto job = decided.job(decided.cut_at(20));
  REQUIRE(job->step());
  job->forget_no_more();
  REQUIRE(Decided::run(*job));
  CHECK(decided.known(0));
  CHECK(decided.log->first() > Lsn(0));
}

TEST_CASE("a disk without room is no error of the index, and the cut goes on later") {
  Decided decided;
  const auto job = decided.job(decided.cut_at(20));
  decided.files->inject({.number = decided.files->operations(), .code = ErrorCode::kDiskFull});
  auto stepped = job->step();
  while (stepped && !job->done()) stepped = job->step();
  REQUIRE_FALSE(stepped);
  CHECK(stepped.error().code == ErrorCode::kDiskFull);
  CHECK_FALSE(job->of_index());
  REQUIRE(Decided::run(*job));
  CHECK(decided.bases().front() == decided.horizons[20]);
  CHECK(decided.log->first() > Lsn(0));
}

}  // namespace
}  // namespace tally::broker
