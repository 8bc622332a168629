#include "store/log.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "store/segment_preparer.h"
#include "tests/store/log_fixture.h"

namespace tally::store {
namespace {

using testing::Fault;
using testing::LogFixture;
using testing::make_block;
using testing::OwnedEntry;

std::uint32_t record_bytes(const OwnedEntry& entry, std::size_t record) {
  return static_cast<std::uint32_t>(entry.entry.view().records[record].header.record_bytes());
}

TEST_CASE("a new log is empty and has the id it was given") {
  LogFixture fixture;
  LogId told;
  fixture.options.identified = [&](LogId id) { told = id; };
  REQUIRE(fixture.open());
  CHECK(fixture.log->id() == fixture.options.new_log_id);
  CHECK(told == fixture.options.new_log_id);
  CHECK(fixture.log->end() == Lsn(0));
  CHECK(fixture.log->last_index() == EntryIndex(0));
  CHECK(fixture.report.checkpoint_matched);
}

TEST_CASE("a reopened log replays every entry in order and goes on") {
  LogFixture fixture;
  REQUIRE(fixture.open());
  for (int i = 0; i < 10; ++i) REQUIRE(fixture.write({"message " + std::to_string(i), "b"}));
  const Lsn end = fixture.log->end();
  fixture.options.new_log_id.bytes.fill(1);
  REQUIRE(fixture.open());
  CHECK(fixture.log->id().bytes[0] == 0x5a);
  CHECK(fixture.log->end() == end);
  CHECK(fixture.log->durable() == end);
  CHECK(fixture.log->last_index() == EntryIndex(10));
  CHECK(fixture.log->last_time_ms() == 1'000'010);
  REQUIRE(fixture.seen.size() == 10);
  CHECK(fixture.seen[4].index == EntryIndex(5));
  CHECK(fixture.report.bytes_cut == 0);
  REQUIRE(fixture.write({"after"}));
  REQUIRE(fixture.open());
  CHECK(fixture.seen.size() == 11);
}

TEST_CASE("entries written together take one sync") {
  LogFixture fixture;
  REQUIRE(fixture.open());
  const auto first = fixture.next_entry({"a"});
  const auto second = testing::make_entry(EntryIndex(2), first->entry.header().end(), {"b", "c"});
  Entry* const entries[] = {&first->entry, &second->entry};
  REQUIRE(fixture.log->write(entries));
  CHECK(fixture.log->counters().syncs == 1);
  CHECK(fixture.log->counters().entries == 2);
  CHECK(fixture.log->counters().records == 3);
  CHECK(fixture.log->counters().bytes == fixture.log->end().value);
  REQUIRE(fixture.open());
  CHECK(fixture.seen.size() == 2);
}

TEST_CASE("a message is read by its LSN, whole or not at all") {
  LogFixture fixture;
  REQUIRE(fixture.open());
  const auto entry = fixture.next_entry({"first", "second"});
  REQUIRE(fixture.write_entry(*entry));
  const auto reader = fixture.log->reader();
  std::string out = "kept ";
  const auto read =
      reader->read_block(entry->records[1], record_bytes(*entry, 1), LogReader::Wait::kDisk, out);
  REQUIRE(read);
  CHECK(*read);
  CHECK(out == "kept " + make_block("second"));

  out = "kept";
  const auto refused = [&](Lsn lsn, std::uint32_t bytes) {
    const auto result = reader->read_block(lsn, bytes, LogReader::Wait::kDisk, out);
    return !result && result.error().code == ErrorCode::kDataDamaged && out == "kept";
  };
  CHECK(refused(Lsn(entry->records[1].value + 8), record_bytes(*entry, 1) - 8));
  CHECK(refused(entry->records[0], record_bytes(*entry, 0) + 1));
  CHECK(refused(entry->records[0], 3));
  CHECK(refused(fixture.log->end(), 100));

  fixture.files->set_cold(true);
  const auto cold = reader->read_block(entry->records[1], record_bytes(*entry, 1),
                                       LogReader::Wait::kCachedOnly, out);
  REQUIRE(cold);
  CHECK_FALSE(*cold);
  CHECK(out == "kept");
}

TEST_CASE("a message whose bytes rotted is never served") {
  LogFixture fixture;
  REQUIRE(fixture.open());
  const auto entry = fixture.next_entry({"precious"});
  REQUIRE(fixture.write_entry(*entry));
  const auto reader = fixture.log->reader();
  const auto file = fixture.files->open(fixture.segment_path(Lsn(0)), FileSystem::Mode::kReadWrite);
  REQUIRE(file);
  char byte = 'P';
  const iovec piece{&byte, 1};
  REQUIRE((*file)->write(fixture.segment().find("precious"), {&piece, 1}));
  std::string out;
  const auto read =
      reader->read_block(entry->records[0], record_bytes(*entry, 0), LogReader::Wait::kDisk, out);
  REQUIRE_FALSE(read);
  CHECK(read.error().code == ErrorCode::kDataDamaged);
  CHECK(out.empty());
}

TEST_CASE(
    "a message behind a header of which another record's sector holds the end is not served") {
  // Headers begin 16 bytes before a sector's end: the LSN stands before it, the checksum behind.
  constexpr std::uint64_t kSectorBytes = 512;
  constexpr std::uint64_t kBefore = 16;
  LogFixture fixture;
  REQUIRE(fixture.open());
  const auto write_at_sector_end = [&](char fill) {
    const std::uint64_t head = kEntryHeadBytes;
    const std::uint64_t end = fixture.log->end().value;
    // Behind an entry that ends so that the head of the next one does.
    const std::uint64_t wanted = (end / kSectorBytes + 2) * kSectorBytes - kBefore - head;
    const std::size_t overhead = head + kRecordHeaderBytes + 8 + sizeof(std::uint64_t);
    REQUIRE(fixture.write({std::string(wanted - end - overhead, '.')}));
    auto entry = fixture.next_entry({std::string(60, fill)});
    REQUIRE(fixture.write_entry(*entry));
    CHECK(entry->records[0].value % kSectorBytes == kSectorBytes - kBefore);
    return entry;
  };
  const auto first = write_at_sector_end('1');
  const auto second = write_at_sector_end('2');
  const auto sector_behind = [&](const OwnedEntry& entry) {
    return kSegmentHeaderBytes + entry.records[0].value + kBefore;
  };
  fixture.files->damage(fixture.segment_path(Lsn(0)), sector_behind(*second),
                        fixture.segment().substr(sector_behind(*first), kSectorBytes));
  std::string out;
  const auto read = fixture.log->reader()->read_block(second->records[0], record_bytes(*second, 0),
                                                      LogReader::Wait::kDisk, out);
  REQUIRE_FALSE(read);
  CHECK(read.error().code == ErrorCode::kDataDamaged);
}

TEST_CASE("sixty segments roll, read and replay") {
  LogFixture fixture;
  fixture.options.segment_bytes = 32u << 10;
  REQUIRE(fixture.open());
  std::vector<std::unique_ptr<OwnedEntry>> entries;
  while (fixture.log->counters().rolls < 60) {
    entries.push_back(fixture.next_entry({std::string(3'000, 'a'), std::string(4'000, 'b')}));
    REQUIRE(fixture.write_entry(*entries.back()));
  }
  const auto reader = fixture.log->reader();
  for (const auto& entry : entries) {
    std::string out;
    REQUIRE(reader->read_block(entry->records[1], record_bytes(*entry, 1), LogReader::Wait::kDisk,
                               out));
    CHECK(out == entry->blocks[1]);
  }
  REQUIRE(fixture.open());
  CHECK(fixture.seen.size() == entries.size());
  CHECK(fixture.log->first() == Lsn(0));
}

TEST_CASE("messages are read by other threads while the log grows and rolls") {
  LogFixture fixture;
  fixture.options.segment_bytes = 32u << 10;
  fixture.options.prepare_ahead = true;
  REQUIRE(fixture.open());
  const auto entry = fixture.next_entry({"read again and again"});
  REQUIRE(fixture.write_entry(*entry));
  const auto reader = fixture.log->reader();
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> wrong = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      std::string out;
      while (!stop) {
        out.clear();
        const auto read = reader->read_block(entry->records[0], record_bytes(*entry, 0),
                                             LogReader::Wait::kCachedOnly, out);
        if (!read || out != entry->blocks[0]) ++wrong;
      }
    });
  }
  while (fixture.log->counters().rolls < 20) REQUIRE(fixture.write({std::string(5'000, 'x')}));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("one write may span several segments") {
  LogFixture fixture;
  fixture.options.segment_bytes = 32u << 10;
  REQUIRE(fixture.open());
  std::vector<std::unique_ptr<OwnedEntry>> entries;
  std::vector<Entry*> sealed;
  Lsn at(0);
  for (std::uint64_t i = 1; i <= 12; ++i) {
    entries.push_back(testing::make_entry(EntryIndex(i), at, {std::string(9'000, 'x')}));
    sealed.push_back(&entries.back()->entry);
    at = sealed.back()->header().end();
  }
  REQUIRE(fixture.log->write(sealed));
  CHECK(fixture.log->counters().rolls == 3);
  CHECK(fixture.log->counters().syncs == 4);
  CHECK(fixture.log->durable() == at);
  REQUIRE(fixture.open());
  CHECK(fixture.seen.size() == 12);
}

TEST_CASE("an entry larger than a segment gets a segment of its size") {
  LogFixture fixture;
  REQUIRE(fixture.open());
  REQUIRE(fixture.write({"small"}));
  const auto large = fixture.next_entry({std::string(3 * testing::kSmallSegmentBytes, 'L')});
  REQUIRE(fixture.write_entry(*large));
  REQUIRE(fixture.write({"small again"}));
  std::string out;
  REQUIRE(fixture.log->reader()->read_block(large->records[0], record_bytes(*large, 0),
                                            LogReader::Wait::kDisk, out));
  CHECK(out == large->blocks[0]);
  REQUIRE(fixture.open());
  CHECK(fixture.seen.size() == 3);
}

TEST_CASE("a log at a segment's very end rolls with the next entry") {
  LogFixture fixture;
  REQUIRE(fixture.open());
  const std::uint64_t room = fixture.options.segment_bytes - kSegmentHeaderBytes;
  const std::size_t overhead =
      kEntryHeadBytes + kRecordHeaderBytes + std::string("extended").size() + 8;
  REQUIRE(fixture.write({std::string(room - overhead, 'x')}));
  CHECK(fixture.log->end() == Lsn(room));
  REQUIRE(fixture.open());
  CHECK(fixture.seen.size() == 1);
  REQUIRE(fixture.write({"next"}));
  CHECK(fixture.log->counters().rolls == 1);
  REQUIRE(fixture.open());
  CHECK(fixture.seen.size() == 2);
}

TEST_CASE("after a write or sync that failed the log refuses everything") {
  LogFixture fixture;
  REQUIRE(fixture.open());
  REQUIRE(fixture.write({"good"}));
  const Lsn durable = fixture.log->durable();
  const std::uint64_t offset = GENERATE(0u, 1u);  // the write, the sync
  fixture.files->inject({.number = fixture.files->operations() + offset});
  const auto entry = fixture.next_entry({"lost"});
  const auto failed = fixture.write_entry(*entry);
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code == ErrorCode::kIo);
  CHECK(fixture.log->durable() == durable);
  const std::uint64_t operations = fixture.files->operations();
  CHECK_FALSE(fixture.write_entry(*entry));
  CHECK(fixture.files->operations() == operations);
  std::string out;
  CHECK_FALSE(fixture.log->reader()->read_block(entry->records[0], record_bytes(*entry, 0),
                                                LogReader::Wait::kDisk, out));
}

TEST_CASE("a sync that failed does not count later, though the cache still shows its bytes") {
  LogFixture fixture;
  REQUIRE(fixture.open());
  REQUIRE(fixture.write({"good"}));
  fixture.files->inject({.number = fixture.files->operations() + 1});
  REQUIRE_FALSE(fixture.write({"lost by the disk"}));
  CHECK(fixture.segment().find("lost by the disk") != std::string::npos);
  REQUIRE(fixture.open());
  CHECK(fixture.seen.size() == 1);
  CHECK(fixture.segment().find("lost by the disk") == std::string::npos);
}

TEST_CASE("a full disk is told when the log or its next segment is made") {
  LogFixture fixture;
  fixture.files->set_capacity(testing::kSmallSegmentBytes / 2);
  const auto refused = fixture.open();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kDiskFull);
  fixture.files->set_capacity(testing::kSmallSegmentBytes * 3 / 2);
  REQUIRE(fixture.open());
  Result<void> written;
  while (written) written = fixture.write({std::string(9'000, 'x')});
  CHECK(written.error().code == ErrorCode::kDiskFull);
  CHECK(fixture.log->counters().entries == 6);
  fixture.files->set_capacity(testing::kSmallSegmentBytes * 4);
  REQUIRE(fixture.open());
  CHECK(fixture.seen.size() == 6);
  REQUIRE(fixture.write({std::string(9'000, 'x')}));
}

TEST_CASE("a log that is in use is not opened twice") {
  LogFixture fixture;
  REQUIRE(fixture.open());
  const auto second = Log::open(*fixture.files, fixture.options, {},
                                [](const EntryView&) { return Result<void>(); });
  REQUIRE_FALSE(second);
  CHECK(second.error().code == ErrorCode::kDataLocked);
}

TEST_CASE("the next segment is made ahead, and taken as it is") {
  LogFixture fixture;
  fixture.options.prepare_ahead = true;
  REQUIRE(fixture.open());
  for (int i = 0; i < 200; ++i) REQUIRE(fixture.write({std::string(5'000, 'x')}));
  CHECK(fixture.log->counters().rolls > 10);
  REQUIRE(fixture.open());
  CHECK(fixture.seen.size() == 200);
}

TEST_CASE("a prepared file is handed over whole") {
  testing::MemoryFileSystem files;
  REQUIRE(files.make_directories("/log"));
  LogOptions options;
  options.directory = "/log";
  options.segment_bytes = 4u << 20;
  SegmentPreparer preparer(files, options);
  REQUIRE(preparer.start(0, 100));
  for (int i = 0; i < 3; ++i) {
    preparer.advance(60, 100);
    preparer.advance(100, 100);
    const auto taken = preparer.take(100);
    REQUIRE(taken);
    CHECK(taken->name == kNextSegmentName);
    CHECK(taken->file->size().value() == 4u << 20);
    CHECK(files.content("/log/next.segment") == std::string(4u << 20, '\0'));
  }
  const auto larger = preparer.take(5u << 20);
  REQUIRE(larger);
  CHECK(larger->file->size().value() == 5u << 20);
}

TEST_CASE("a segment prepared by an earlier process is thrown away") {
  LogFixture fixture;
  REQUIRE(fixture.open());
  REQUIRE(fixture.write({"a"}));
  fixture.log.reset();
  fixture.files->set_content(fixture.options.directory + "/next.segment", "half made");
  REQUIRE(fixture.open());
  CHECK(fixture.seen.size() == 1);
  CHECK_FALSE(fixture.files->exists(fixture.options.directory + "/next.segment").value());
}

}  // namespace
}  // namespace tally::store
