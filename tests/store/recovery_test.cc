// One state of the log directory per test: what a start makes of it.

#include "store/recovery.h"

#include <catch2/catch.hpp>

#include "tests/store/log_fixture.h"

namespace tally::store {
namespace {

using testing::kSmallSegmentBytes;
using testing::LogFixture;

/// Three entries, the last of which nothing proves durable; closed.
struct Written : LogFixture {
  std::vector<EntryHeader> headers{};

  explicit Written(int entries = 3) {
    open().value();
    for (int i = 0; i < entries; ++i) {
      const auto entry = next_entry({"body " + std::to_string(i)});
      headers.push_back(entry->entry.header());
      write_entry(*entry).value();
    }
    log.reset();
  }
  std::uint64_t position(std::size_t entry) const {
    return kSegmentHeaderBytes + headers[entry].lsn.value;
  }
  std::uint64_t end_position() const { return kSegmentHeaderBytes + headers.back().end().value; }

  /// Refused with this code and text, and nothing was changed.
  void check_refused(ErrorCode code, const std::string& text, const ReplayFrom& from = {}) {
    const std::string before = segment();
    const auto opened = open(from);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == code);
    CHECK_THAT(opened.error().message, Catch::Matchers::Contains(text));
    CHECK(segment() == before);
  }

  ReplayFrom checkpoint(std::size_t entry) const {
    return {.applied = headers[entry].index,
            .next = headers[entry].end(),
            .entry_checksum = headers[entry].checksum,
            .log = options.new_log_id};
  }
};

TEST_CASE("entries that are written while the log is read are no damage") {
  LogFixture fixture;
  fixture.open().value();
  fixture.write({"first"}).value();
  // On a real disk the written zeroes of a segment count as data, to its end.
  fixture.files->damage(fixture.segment_path(Lsn(0)), kSmallSegmentBytes - 1, "x");
  const Segments segments =
      open_segments(*fixture.files, fixture.options.directory, ShardId(0), FileSystem::Mode::kRead)
          .value();
  int visited = 0;
  const auto visit = [&](const Segment&, const CheckedEntry&) -> Result<void> {
    if (++visited > 1) return {};
    TALLY_TRY_VOID(fixture.write({"second"}));
    return fixture.write({"third"});
  };
  const auto examined = examine_log(segments, {.from_first = true, .visit = visit});
  REQUIRE(examined);
  CHECK(visited == 3);
  CHECK(examined->end == fixture.log->end());
}

TEST_CASE("a torn last entry is cut at every length") {
  Written base;
  const std::string whole = base.segment();
  for (std::uint64_t cut = base.position(2); cut < base.end_position(); ++cut) {
    std::string torn = whole;
    std::fill(torn.begin() + static_cast<std::ptrdiff_t>(cut), torn.end(), '\0');
    if (torn == whole) continue;  // the last bytes are zeroes anyway
    Written fixture;
    fixture.set_segment(torn);
    REQUIRE(fixture.open());
    CHECK(fixture.seen.size() == 2);
    CHECK(fixture.log->end() == fixture.headers[2].lsn);
    const std::string after = fixture.segment();
    CHECK(after.find_first_not_of('\0', base.position(2)) == std::string::npos);
    REQUIRE(fixture.write({"after"}));
    REQUIRE(fixture.open());
    CHECK(fixture.seen.size() == 3);
    CHECK(fixture.report.bytes_cut == 0);
  }
}

TEST_CASE("a damaged last entry without a witness is cut and counted") {
  Written fixture;
  std::string damaged = fixture.segment();
  damaged[fixture.position(2) + kEntryHeadBytes + 3] ^= 1;
  fixture.set_segment(damaged);
  REQUIRE(fixture.open());
  CHECK(fixture.seen.size() == 2);
  CHECK(fixture.report.entries_cut_without_witness == 1);
  CHECK(fixture.report.bytes_cut > kEntryHeadBytes);
}

TEST_CASE("a cut is on disk before the log serves") {
  const int entries = GENERATE(1, 3);  // with one, nothing before the cut is written again
  Written fixture(entries);
  std::string damaged = fixture.segment();
  damaged[fixture.position(fixture.headers.size() - 1) + kEntryHeadBytes + 3] ^= 1;
  fixture.set_segment(damaged);
  REQUIRE(fixture.open());
  fixture.crash({});
  CHECK(fixture.segment().find("body " + std::to_string(entries - 1)) == std::string::npos);
}

TEST_CASE("damage with a later witness is refused at every byte of an entry") {
  const Written base;
  const std::string whole = base.segment();
  const std::string witness = "says that everything before LSN " +
                              std::to_string(base.headers[1].end().value) + " was durable";
  for (std::uint64_t at = base.position(1); at < base.position(2); ++at) {
    Written fixture(0);
    fixture.headers = base.headers;
    std::string damaged = whole;
    damaged[at] ^= 0x20;
    fixture.set_segment(damaged);
    CAPTURE(at);
    fixture.check_refused(ErrorCode::kDataDamaged, witness);
  }
}

TEST_CASE("a refusal names file, position and what is wrong") {
  Written fixture;
  std::string damaged = fixture.segment();
  damaged[fixture.position(0) + kEntryHeadBytes] ^= 1;
  fixture.set_segment(damaged);
  fixture.check_refused(ErrorCode::kDataDamaged,
                        "/data/0/log/00000000000000000000.log: position 4096 (LSN 0): the entry "
                        "checksum is wrong; the entry at LSN ");
}

TEST_CASE("an erased entry with a later witness is refused") {
  Written fixture;
  std::string damaged = fixture.segment();
  std::fill_n(damaged.begin() + static_cast<std::ptrdiff_t>(fixture.position(1)),
              fixture.headers[1].entry_bytes, '\0');
  fixture.set_segment(damaged);
  fixture.check_refused(ErrorCode::kDataDamaged, "no entry stands there; the entry at LSN ");
}

TEST_CASE("a torn entry is a witness for the entries before it") {
  Written fixture;
  std::string damaged = fixture.segment();
  damaged[fixture.position(1) + kEntryHeadBytes] ^= 1;
  damaged[fixture.position(2) + kEntryHeadBytes] ^= 1;  // its head is whole
  fixture.set_segment(damaged);
  fixture.check_refused(ErrorCode::kDataDamaged, "the entry at LSN ");
}

TEST_CASE("entries of one unfinished write are cut, though the later ones arrived") {
  LogFixture fixture;
  REQUIRE(fixture.open());
  REQUIRE(fixture.write({"before"}));
  const auto first = fixture.next_entry({"lost"});
  const auto second = testing::make_entry(EntryIndex(3), first->entry.header().end(), {"arrived"});
  Entry* const entries[] = {&first->entry, &second->entry};
  REQUIRE(fixture.log->write(entries));
  fixture.log.reset();
  std::string torn = fixture.segment();
  std::fill_n(torn.begin() + 4096 + static_cast<std::ptrdiff_t>(first->entry.header().lsn.value),
              first->entry.header().entry_bytes, '\0');
  fixture.set_segment(torn);
  REQUIRE(fixture.open());
  CHECK(fixture.seen.size() == 1);
  CHECK(fixture.report.entries_cut_without_witness == 1);
  CHECK(fixture.segment().find("arrived") == std::string::npos);
}

TEST_CASE("the recovered tail is written again, so that a lying cache does no harm") {
  Written fixture;
  const std::uint64_t before = fixture.files->operations();
  REQUIRE(fixture.open());
  // Sync the tail; rewrite; sync; directory.
  CHECK(fixture.files->operations() - before == 4);
  fixture.crash({});
  REQUIRE(fixture.open());
  CHECK(fixture.seen.size() == 3);
}

TEST_CASE("a start whose first sync fails is refused") {
  Written fixture;
  fixture.files->inject({.number = fixture.files->operations()});
  const auto opened = fixture.open();
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == ErrorCode::kIo);
}

TEST_CASE("replay begins behind the checkpoint") {
  Written fixture(5);
  REQUIRE(fixture.open(fixture.checkpoint(2)));
  CHECK(fixture.report.checkpoint_matched);
  REQUIRE(fixture.seen.size() == 2);
  CHECK(fixture.seen[0].index == EntryIndex(4));
  CHECK(fixture.report.replayed_from == fixture.headers[3].lsn);
  CHECK(fixture.log->last_index() == EntryIndex(5));
  REQUIRE(fixture.open(fixture.checkpoint(4)));
  CHECK(fixture.report.entries_replayed == 0);
  CHECK(fixture.log->last_index() == EntryIndex(5));
  CHECK(fixture.log->last_time_ms() == 1'000'005);
  REQUIRE(fixture.write({"next"}));
}

TEST_CASE("a checkpoint that is not the log's is told, and nothing is replayed") {
  Written fixture;
  ReplayFrom from = fixture.checkpoint(1);
  std::string why;
  SECTION("another log's") {
    from.log.bytes.fill(9);
    why = "it is of another log";
  }
  SECTION("another entry's") {
    from.entry_checksum ^= 1;
    why = "the log holds another entry at LSN " + std::to_string(from.next.value);
  }
  SECTION("another index") {
    from.applied = EntryIndex(3);
    why = "the log holds another entry at LSN " + std::to_string(from.next.value);
  }
  SECTION("between two entries") {
    from.next = Lsn(from.next.value + 8);
    why = "the log holds another entry at LSN " + std::to_string(from.next.value);
  }
  REQUIRE(fixture.open(from));
  CHECK_FALSE(fixture.report.checkpoint_matched);
  CHECK(fixture.report.mismatch == why);
  CHECK(fixture.log == nullptr);
  CHECK(fixture.seen.empty());
}

TEST_CASE("a checkpoint behind the log's end proves that entries are lost") {
  Written fixture;
  const ReplayFrom from = fixture.checkpoint(2);
  std::string shorter = fixture.segment();
  std::fill(shorter.begin() + static_cast<std::ptrdiff_t>(fixture.position(2)), shorter.end(),
            '\0');
  fixture.set_segment(shorter);
  fixture.check_refused(ErrorCode::kDataDamaged, "the index says that everything before LSN ",
                        from);
}

TEST_CASE("damage before the checkpoint is refused at every byte of an entry") {
  const Written base;
  for (std::uint64_t at = base.position(0); at < base.position(1); ++at) {
    Written fixture;
    std::string damaged = fixture.segment();
    damaged[at] ^= 1;
    fixture.set_segment(damaged);
    fixture.check_refused(ErrorCode::kDataDamaged, "the index says that everything before LSN ",
                          fixture.checkpoint(2));
  }
}

TEST_CASE("an empty directory with a checkpoint of a log is refused") {
  Written fixture(1);
  fixture.options.directory = "/elsewhere/0/log";
  const auto opened = fixture.open(fixture.checkpoint(0));
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == ErrorCode::kDataDamaged);
  CHECK_THAT(opened.error().message, Catch::Matchers::Contains("the log is gone"));
}

TEST_CASE("the visitor's error ends the start") {
  Written fixture;
  const auto opened =
      Log::open(*fixture.files, fixture.options, {}, [](const EntryView&) -> Result<void> {
        return Error(ErrorCode::kDataDamaged, "a record does not decode");
      });
  REQUIRE_FALSE(opened);
  CHECK(opened.error().message == "a record does not decode");
}

/// Several segments, closed.
struct Rolled : LogFixture {
  std::vector<Lsn> bases{Lsn(0)};
  std::vector<EntryHeader> headers{};
  Rolled() {
    open().value();
    while (bases.size() < 4) {
      const auto entry = next_entry({std::string(7'000, 'x')});
      const auto rolls = log->counters().rolls;
      write_entry(*entry).value();
      headers.push_back(entry->entry.header());
      if (log->counters().rolls > rolls) bases.push_back(headers.back().lsn);
    }
    log.reset();
  }
  ErrorCode refused_with(const std::string& text) {
    const auto opened = open();
    REQUIRE_FALSE(opened);
    CHECK_THAT(opened.error().message, Catch::Matchers::Contains(text));
    return opened.error().code;
  }
};

TEST_CASE("replay from a checkpoint in any segment reaches the end") {
  Rolled fixture;
  for (std::size_t i = 0; i < fixture.headers.size(); ++i) {
    const EntryHeader& header = fixture.headers[i];
    REQUIRE(fixture.open({.applied = header.index,
                          .next = header.end(),
                          .entry_checksum = header.checksum,
                          .log = fixture.options.new_log_id}));
    CHECK(fixture.report.checkpoint_matched);
    CHECK(fixture.report.entries_replayed == fixture.headers.size() - i - 1);
    CHECK(fixture.log->last_time_ms() == fixture.headers.back().time_ms);
  }
}

TEST_CASE("damage before the last segment is always refused") {
  Rolled fixture;
  std::string damaged = fixture.segment(fixture.bases[1]);
  SECTION("in its last entry") {
    std::size_t last = 0;
    while (fixture.headers[last].end() != fixture.bases[2]) ++last;
    damaged[kSegmentHeaderBytes + fixture.headers[last].lsn.value - fixture.bases[1].value + 100] ^=
        1;
  }
  SECTION("in its first entry") { damaged[kSegmentHeaderBytes + 20] ^= 1; }
  fixture.set_segment(damaged, fixture.bases[1]);
  CHECK(fixture.refused_with("the next segment " + fixture.segment_path(fixture.bases[2]) +
                             " says that everything before LSN ") == ErrorCode::kDataDamaged);
}

TEST_CASE("a missing segment is refused") {
  Rolled fixture;
  SECTION("in the middle") {
    REQUIRE(fixture.files->remove(fixture.segment_path(fixture.bases[1])));
    CHECK(fixture.refused_with("the segment before it is missing") == ErrorCode::kDataDamaged);
  }
  SECTION("at the beginning") {
    REQUIRE(fixture.files->remove(fixture.segment_path(fixture.bases[0])));
    CHECK(fixture.refused_with("are missing") == ErrorCode::kDataDamaged);
  }
}

TEST_CASE("a segment header that is wrong is refused") {
  Rolled fixture;
  std::string raw = fixture.segment(fixture.bases[3]);
  SegmentHeader header = SegmentHeader::decode(raw, "x").value();
  const auto replace_header = [&] {
    fixture.set_segment(header.encode() + raw.substr(kSegmentHeaderBytes), fixture.bases[3]);
  };
  SECTION("its bytes") {
    raw[100] ^= 1;
    fixture.set_segment(raw, fixture.bases[3]);
    CHECK(fixture.refused_with("does not match its checksum") == ErrorCode::kDataDamaged);
  }
  SECTION("its format version") {
    raw[8] = 2;
    fixture.set_segment(raw, fixture.bases[3]);
    CHECK(fixture.refused_with("has format version 2") == ErrorCode::kDataFormat);
  }
  SECTION("cut off") {
    fixture.set_segment(raw.substr(0, 4000), fixture.bases[3]);
    CHECK(fixture.refused_with("shorter than a segment's header") == ErrorCode::kDataDamaged);
  }
  SECTION("its log") {
    header.log.bytes.fill(1);
    replace_header();
    CHECK(fixture.refused_with("belongs to another log") == ErrorCode::kDataDamaged);
  }
  SECTION("its shard") {
    header.shard = ShardId(5);
    replace_header();
    CHECK(fixture.refused_with("belongs to shard 5, not to 0") == ErrorCode::kDataFormat);
  }
  SECTION("its base") {
    header.base = Lsn(8);
    replace_header();
    CHECK(fixture.refused_with("which is not its name") == ErrorCode::kDataDamaged);
  }
}

TEST_CASE("a foreign file in the log's directory is refused") {
  Written fixture;
  fixture.files->set_content("/data/0/log/notes.txt", "hello");
  fixture.check_refused(ErrorCode::kDataFormat, "notes.txt is no file of a log");
}

TEST_CASE("an entry of a newer version is refused as such") {
  Written fixture(1);
  std::string raw = fixture.segment();
  std::string covered = raw.substr(kSegmentHeaderBytes + kPreambleBytes, kEntryChecksumOffset);
  covered[4] = 2;
  EntryHeader header = fixture.headers[0];
  header.rules_version = 2;
  const std::size_t heads = kSegmentHeaderBytes + kEntryHeadBytes;
  header.checksum = checksum(covered + raw.substr(heads, header.heads_bytes));
  const auto segment = SegmentHeader::decode(raw, "x").value();
  Preamble::make(segment.epoch, Lsn(0), Lsn(0), header.checksum).store(&raw[kSegmentHeaderBytes]);
  header.store(&raw[kSegmentHeaderBytes + kPreambleBytes]);
  fixture.set_segment(raw);
  fixture.check_refused(ErrorCode::kDataFormat, "written by a newer version");
}

TEST_CASE("a whole entry of the wrong index is refused, not cut") {
  Written fixture(1);
  const std::string with_second = [] {
    LogFixture other;
    other.open().value();
    other.write({"body 0"}).value();
    return other.segment();
  }();
  // The same position, another index: of a segment that somebody copied over.
  const auto stray = testing::make_entry(EntryIndex(9), Lsn(0), {"body 0"});
  std::string raw = with_second;
  const auto segment = SegmentHeader::decode(raw, "x").value();
  Preamble::make(segment.epoch, Lsn(0), Lsn(0), stray->entry.header().checksum)
      .store(&raw[kSegmentHeaderBytes]);
  stray->entry.header().store(&raw[kSegmentHeaderBytes + kPreambleBytes]);
  fixture.set_segment(raw);
  fixture.check_refused(ErrorCode::kDataDamaged, "the entry does not continue the log");
}

}  // namespace
}  // namespace tally::store
