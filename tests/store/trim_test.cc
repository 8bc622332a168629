// The oldest segments of a log are removed while it is written and read; then it begins later.

#include <catch2/catch.hpp>

#include "store/entry_walk.h"
#include "store/recovery.h"
#include "store/segment_removal.h"
#include "tests/store/log_fixture.h"

namespace tally::store {
namespace {

using testing::CrashKeeps;
using testing::LogFixture;
using Next = SegmentRemoval::Next;

/// Four segments of a few entries each.
struct Trimmed : LogFixture {
  std::vector<EntryHeader> headers{};
  std::vector<Lsn> bases{};

  Trimmed() {
    open().value();
    while (bases.size() < 4) {
      const auto entry = next_entry({std::string(20'000, 'x')});
      headers.push_back(entry->entry.header());
      write_entry(*entry).value();
      bases.clear();
      for (const std::string& name : files->list(options.directory).value()) {
        if (const auto base = parse_segment_name(name)) bases.push_back(*base);
      }
    }
  }

  Result<Next> remove_all(SegmentRemoval& removal, Lsn keep_from) {
    for (;;) {
      TALLY_TRY(const Next next, removal.step(keep_from));
      if (next != Next::kStep) return next;
    }
  }
  Result<Next> remove_before(Lsn keep_from) {
    const auto removal = log->removal();
    return remove_all(*removal, keep_from);
  }

  /// A checkpoint at the entry that ends at `next`.
  ReplayFrom checkpoint(Lsn next) const {
    for (const EntryHeader& header : headers) {
      if (header.end() != next) continue;
      return {.applied = header.index,
              .next = next,
              .entry_checksum = header.checksum,
              .time_ms = header.time_ms,
              .log = options.new_log_id};
    }
    return {};
  }

  ErrorCode read(const EntryHeader& header) const {
    std::string out;
    const auto record_bytes =
        static_cast<std::uint32_t>(header.entry_bytes - kEntryHeadBytes - header.padding_bytes);
    const auto got = log->reader()->read_block(Lsn(header.lsn.value + kEntryHeadBytes),
                                               record_bytes, LogReader::Wait::kDisk, out);
    return got ? ErrorCode::kOk : got.error().code;
  }

  std::vector<std::string> names() const { return files->list(options.directory).value(); }
};

TEST_CASE("segments that end at or before an LSN are removed, oldest first") {
  Trimmed fixture;
  CHECK(fixture.remove_before(Lsn(fixture.bases[1].value - 1)).value() == Next::kDone);
  CHECK(fixture.log->first() == Lsn(0));
  CHECK(fixture.remove_before(Lsn(fixture.bases[3].value - 1)).value() == Next::kDone);
  CHECK(fixture.log->first() == fixture.bases[2]);
  CHECK(fixture.log->segments() == 2);
  CHECK(fixture.names() ==
        std::vector{segment_name(fixture.bases[2]), segment_name(fixture.bases[3])});
  for (const EntryHeader& header : fixture.headers) {
    CHECK(fixture.read(header) ==
          (header.lsn < fixture.bases[2] ? ErrorCode::kExpired : ErrorCode::kOk));
  }
  CHECK(fixture.write({"goes on"}));
}

TEST_CASE("the segment that is written always stays") {
  Trimmed fixture;
  CHECK(fixture.remove_before(Lsn(UINT64_MAX)).value() == Next::kDone);
  CHECK(fixture.log->first() == fixture.bases.back());
  CHECK(fixture.write({"goes on"}));
}

TEST_CASE("a segment stays on disk as long as somebody reads it") {
  Trimmed fixture;
  auto walk = fixture.log->walk(Lsn(0), fixture.log->end());
  const auto removal = fixture.log->removal();
  CHECK(fixture.remove_all(*removal, fixture.bases[1]).value() == Next::kWait);
  CHECK(fixture.log->first() == fixture.bases[1]);
  CHECK(fixture.names().front() == segment_name(Lsn(0)) + ".gone");
  CHECK(fixture.read(fixture.headers[0]) == ErrorCode::kExpired);
  CHECK(walk->next().value()->header.index == EntryIndex(1));
  walk.reset();
  CHECK(fixture.remove_all(*removal, fixture.bases[1]).value() == Next::kDone);
  CHECK(fixture.names().front() == segment_name(fixture.bases[1]));
  CHECK(removal->bytes_removed() == testing::kSmallSegmentBytes);
}

TEST_CASE("a segment that was too small for its first entry is not removed in place of the next") {
  LogFixture fixture;
  REQUIRE(fixture.open());
  REQUIRE(fixture.write({std::string(2 * testing::kSmallSegmentBytes, 'x')}));
  CHECK(fixture.log->segments() == 1);
  const auto removal = fixture.log->removal();
  CHECK(removal->step(fixture.log->end()).value() == Next::kDone);
  fixture.crash({});
  REQUIRE(fixture.open());
  CHECK(fixture.seen.size() == 1);
}

TEST_CASE("a large file shrinks before it is unlinked") {
  LogFixture fixture;
  fixture.options.segment_bytes = 40u << 20;
  REQUIRE(fixture.open());
  const std::string body(39u << 20, 'x');
  REQUIRE(fixture.write({body}));
  REQUIRE(fixture.write({body}));
  const auto removal = fixture.log->removal();
  std::vector<std::size_t> sizes;
  for (Next next = Next::kStep; next == Next::kStep;) {
    next = removal->step(fixture.log->end()).value();
    const std::size_t size =
        fixture.files->content(fixture.segment_path(Lsn(0)) + ".gone").size() >> 20;
    if (size != 0 && (sizes.empty() || sizes.back() != size)) sizes.push_back(size);
  }
  CHECK(sizes == std::vector<std::size_t>{40, 24, 8});
  CHECK(fixture.log->segments() == 1);
}

TEST_CASE("a directory without room for a new name does not keep segments") {
  Trimmed fixture;
  fixture.files->inject({.number = fixture.files->operations(), .code = ErrorCode::kDiskFull});
  CHECK(fixture.remove_before(fixture.bases[2]).value() == Next::kDone);
  CHECK(fixture.names() ==
        std::vector{segment_name(fixture.bases[2]), segment_name(fixture.bases[3])});
}

TEST_CASE("a log that begins later opens from a checkpoint that it still holds") {
  Trimmed fixture;
  REQUIRE(fixture.remove_before(fixture.bases[2]));
  const ReplayFrom newest = fixture.checkpoint(fixture.headers.back().end());
  REQUIRE(fixture.open(newest));
  CHECK(fixture.report.checkpoint_matched);
  CHECK(fixture.log->first() == fixture.bases[2]);
  CHECK(fixture.seen.empty());
  CHECK(fixture.log->last_index() == fixture.headers.back().index);
  REQUIRE(fixture.write({"goes on"}));
  REQUIRE(fixture.open(newest));
  CHECK(fixture.seen.size() == 1);
}

TEST_CASE("a checkpoint at the end of the last removed segment is a valid start") {
  Trimmed fixture;
  const ReplayFrom from = fixture.checkpoint(fixture.bases[2]);
  REQUIRE(from.applied != EntryIndex(0));
  REQUIRE(fixture.remove_before(fixture.bases[2]));
  REQUIRE(fixture.open(from));
  CHECK(fixture.report.checkpoint_matched);
  REQUIRE_FALSE(fixture.seen.empty());
  CHECK(fixture.seen.front().lsn == fixture.bases[2]);
  CHECK(fixture.report.replayed_from == fixture.bases[2]);
  SECTION("unless another entry follows") {
    ReplayFrom other = from;
    other.applied = EntryIndex(from.applied.value - 1);
    REQUIRE(fixture.open(other));
    CHECK_FALSE(fixture.report.checkpoint_matched);
    CHECK(fixture.seen.empty());
  }
}

TEST_CASE("a checkpoint in a removed segment does not match") {
  Trimmed fixture;
  REQUIRE(fixture.remove_before(fixture.bases[2]));
  REQUIRE(fixture.open(fixture.checkpoint(fixture.headers.front().end())));
  CHECK_FALSE(fixture.report.checkpoint_matched);
}

TEST_CASE("a log without its first segments is not replayed from its beginning") {
  Trimmed fixture;
  REQUIRE(fixture.remove_before(fixture.bases[2]));
  const auto before = fixture.names();
  const auto opened = fixture.open();
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == ErrorCode::kDataDamaged);
  CHECK_THAT(opened.error().message,
             Catch::Matchers::Contains("segments before LSN " +
                                       std::to_string(fixture.bases[2].value) + " are missing"));
  CHECK(fixture.names() == before);
}

TEST_CASE("a log that ends before what bases say was durable is refused") {
  Trimmed fixture;
  const Lsn end = fixture.log->end();
  fixture.options.durable_for_sure = end;
  REQUIRE(fixture.open());
  fixture.options.durable_for_sure = Lsn(end.value + 8);
  const auto opened = fixture.open();
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == ErrorCode::kDataDamaged);
  CHECK_THAT(opened.error().message,
             Catch::Matchers::Contains("a base says that everything before LSN " +
                                       std::to_string(end.value + 8) + " was durable"));
}

TEST_CASE("a part of the log is walked once more, in any number of steps") {
  Trimmed fixture;
  const Lsn from = fixture.headers[1].lsn, to = fixture.headers.back().lsn;
  auto walk = fixture.log->walk(from, to);
  for (std::size_t i = 1; i + 1 < fixture.headers.size(); ++i) {
    CHECK(walk->at() == fixture.headers[i].lsn);
    if (i % 2 == 0) walk = fixture.log->walk(walk->at(), to);
    const EntryView* entry = walk->next().value();
    REQUIRE(entry != nullptr);
    CHECK(entry->header.index == fixture.headers[i].index);
    CHECK(entry->records[0].extension == "extended");
  }
  CHECK(walk->next().value() == nullptr);
  CHECK(walk->at() == to);
  walk.reset();
  REQUIRE(fixture.remove_before(fixture.bases[2]));
  walk = fixture.log->walk(from, to);
  CHECK(walk->next().value()->header.lsn == fixture.bases[2]);
}

TEST_CASE("a walk tells of damage and goes on behind it") {
  Trimmed fixture;
  const auto reader =
      fixture.files->open(fixture.segment_path(fixture.bases[1]), FileSystem::Mode::kReadWrite);
  char wrong = 'x';
  const iovec piece{&wrong, 1};
  REQUIRE((*reader)->write(kSegmentHeaderBytes + kPreambleBytes, {&piece, 1}));
  const auto walk = fixture.log->walk(fixture.bases[1], fixture.log->end());
  const auto damaged = walk->next();
  REQUIRE_FALSE(damaged);
  CHECK(damaged.error().code == ErrorCode::kDataDamaged);
  CHECK_THAT(damaged.error().message, Catch::Matchers::Contains("position 4096 "));
  CHECK(walk->at() == fixture.bases[2]);
  CHECK(walk->next().value()->header.lsn == fixture.bases[2]);
}

TEST_CASE("a power cut at any step of a removal leaves a log without gaps") {
  std::uint64_t states = 0;
  const Trimmed whole;
  const std::uint64_t begin = whole.files->operations();
  for (std::uint64_t stop = 0; stop < 12; ++stop) {
    for (std::uint64_t seed = 0; seed < 24; ++seed) {
      Trimmed fixture;
      const ReplayFrom newest = fixture.checkpoint(fixture.headers.back().end());
      fixture.files->inject({.number = begin + stop, .for_ever = true});
      const bool removed = fixture.remove_before(fixture.bases[3]).has_value();
      const Lsn first = fixture.log->first();
      fixture.crash({seed == 0   ? CrashKeeps::Part::kNothing
                     : seed == 1 ? CrashKeeps::Part::kEverything
                                 : CrashKeeps::Part::kRandom,
                     seed});
      CAPTURE(stop, seed);
      REQUIRE(fixture.open(newest));
      CHECK(fixture.report.checkpoint_matched);
      CHECK(fixture.log->first() >= first);
      CHECK(fixture.log->first() <= fixture.bases[3]);
      if (removed) CHECK(fixture.log->first() == fixture.bases[3]);
      for (const std::string& name : fixture.names()) CHECK_FALSE(name.ends_with(".gone"));
      REQUIRE(fixture.remove_before(fixture.bases[3]));
      REQUIRE(fixture.open(newest));
      CHECK(fixture.log->first() == fixture.bases[3]);
      CHECK(fixture.write({"goes on"}));
      ++states;
    }
  }
  std::printf("power cuts while segments are removed: %llu states, 0 violations\n",
              static_cast<unsigned long long>(states));
}

}  // namespace
}  // namespace tally::store
