// The log still writes, byte for byte, what the golden segment holds.

#include "tests/format/golden_log.h"

namespace tally::testing {
namespace {

using namespace store;

const std::string kDirectory = "/golden/0/log";
const std::filesystem::path kGoldenFile = "tests/format/golden/log-v1/00000000000000000000.log";
const std::filesystem::path kClockFile =
    "tests/format/golden/log-v1-clock/00000000000000000000.log";

void write_topics(GoldenLog& log) {
  log.begin();
  log.add(RecordType::kConfig, ConfigExtension{.first_check_ms = 10'000,
                                               .check_backoff_max_ms = 300'000,
                                               .check_budget = 15,
                                               .transaction_lifetime_ms = 86'400'000,
                                               .attempts_max = 16,
                                               .retry_backoff_ms = 1'000,
                                               .retry_backoff_max_ms = 7'200'000});
  log.add(RecordType::kTopicChange, TopicChangeExtension{.queues = 4, .name = "order.created"}, 1);
  log.add(RecordType::kGroupChange, GroupChangeExtension{.group = GroupUid(1), .name = "billing"},
          1);
  log.seal();
  log.write();
}

/// Three entries in one write.
void write_messages(GoldenLog& log) {
  const Message plain{.topic = "order.created", .key = "42", .tag = "new", .body = "first"};
  const Message rich{.topic = "order.created",
                     .message_group = "customer-7",
                     .properties = {{"trace", "a1b2"}},
                     .body = "second €"};
  log.begin();
  log.add(RecordType::kAppend, AppendExtension{.route_hash = 11, .tag_hash = 12}, 1, 0, &plain);
  const AppendExtension numbered{
      .route_hash = 13, .tag_hash = 0, .producer = 0xFFFF'FFFF'FFFF'FFFF, .sequence = 300};
  log.add(RecordType::kAppend, numbered, 1, numbered.flags(), &rich);
  log.seal();

  log.begin();
  const HalfExtension half{.route_hash = 14,
                           .tag_hash = 12,
                           .content_digest = 0x0123'4567'89AB'CDEF,
                           .message = 1,
                           .first_check_ms = 1'000,
                           .lifetime_ms = 60'000,
                           .store = id_from<StoreId>(0x80),
                           .transaction = "t-1",
                           .group = "orders",
                           .client = "host-1",
                           .fresh = true};
  const Lsn lsn = log.add(RecordType::kHalf, half, 1, half.flags(), &plain);
  log.seal();

  log.begin();
  EndExtension end;
  end.decision = Decision::kCommit;
  end.decider = Decider::kProducer;
  end.messages = 1;
  end.handle = Handle{golden_log_id(), lsn, kGoldenTimeMs + 3};
  end.transaction = "t-1";
  end.group = "orders";
  end.client = "host-1";
  log.add(RecordType::kEnd, end);
  log.seal();
  log.write();
}

void write_the_rest(GoldenLog& log) {
  log.begin();
  log.add(RecordType::kCheckDelivered,
          CheckDeliveredExtension{.attempt = 2, .transaction = "t-2", .client = "host-2"});
  log.add(RecordType::kPark, ParkExtension{.transaction = "t-2", .reason = "no answer"});
  log.add(RecordType::kResume, ResumeExtension{.transaction = "t-2", .reason = "asked for"});
  SettleExtension settle{.group = GroupUid(1), .items = {}};
  settle.items.push_back({.action = 1, .queue = 2, .offset = 1ull << 33, .attempt = 1});
  settle.items.push_back({.action = 2, .queue = 3, .offset = 17, .attempt = 2, .delay_ms = 5'000});
  log.add(RecordType::kSettle, settle, 1);
  settle.items.pop_back();
  log.add(RecordType::kLeaseExpired, settle, 1);
  log.seal();
  log.write();
  const Message large{.topic = "order.created", .body = std::string(20'000, 'L')};
  log.begin();
  log.add(RecordType::kAppend, AppendExtension{}, 1, 0, &large);
  log.seal();
  log.write();
  log.begin();
  log.mark();
  log.seal();
  log.write();
}

void write_clock(GoldenLog& log) {
  log.begin();
  log.add(RecordType::kClock, ClockExtension{.behind_ms = 86'400'000});
  log.mark();
  log.seal();
  log.write();
}

void check_written(const std::filesystem::path& golden, void (*write)(GoldenLog&)) {
  MemoryFileSystem files;
  const std::string path = put_segment(files, kDirectory, Lsn(0));
  auto opened = Log::open(files, golden_options(kDirectory), {},
                          [](const EntryView&) { return Result<void>(); });
  REQUIRE(opened);
  GoldenLog log(*opened->log);
  write(log);
  check_golden(golden,
               files.content(path).substr(0, kSegmentHeaderBytes + opened->log->end().value));
}

TEST_CASE("the log is written as the golden segments hold it") {
  check_written(kGoldenFile, [](GoldenLog& log) {
    write_topics(log);
    write_messages(log);
    write_the_rest(log);
  });
  check_written(kClockFile, write_clock);
}

TEST_CASE("the golden segment opens and replays") {
  MemoryFileSystem files;
  files.set_content(kDirectory + "/" + segment_name(Lsn(0)), read_file(kGoldenFile));
  std::uint64_t records = 0;
  const auto opened = Log::open(files, golden_options(kDirectory), {}, [&](const EntryView& entry) {
    records += entry.records.size();
    return Result<void>();
  });
  REQUIRE(opened);
  CHECK(opened->report.entries_replayed == 7);
  CHECK(records == 14);
  CHECK(opened->report.bytes_cut == 0);
}

}  // namespace
}  // namespace tally::testing
