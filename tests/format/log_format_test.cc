// The log still writes, byte for byte, what the golden segment holds. A difference means that
// existing data directories are no longer understood: a new format version, not a new golden file.
// TALLY_WRITE_GOLDEN=1 writes the file when it is missing.

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "protocol/base/message_block.h"
#include "store/log.h"
#include "store/record_extensions.h"
#include "store/segment.h"
#include "tests/support/memory_file_system.h"

namespace tally::store {
namespace {

const std::string kDirectory = "/golden/0/log";
const std::filesystem::path kGoldenFile = "tests/format/golden/log-v1/00000000000000000000.log";
constexpr std::int64_t kTimeMs = 1'700'000'000'000;

template <typename IdType>
IdType id_from(std::uint8_t first) {
  IdType id;
  for (std::uint8_t& byte : id.bytes) byte = first++;
  return id;
}

std::string block_of(const Message& message) {
  std::string block;
  append_message_block(message, kTimeMs, block).value();
  return block;
}

/// Seals entries and writes them; holds their blocks.
class GoldenLog {
 public:
  explicit GoldenLog(Log& log) : log_(log) {}

  void begin() {
    auto entry = std::make_unique<Entry>();
    const Lsn lsn = entries_.empty() ? log_.end() : entries_.back()->header().end();
    entry->begin(EntryIndex(++index_), Term(1), lsn);
    entries_.push_back(std::move(entry));
  }

  template <typename Extension>
  Lsn add(RecordType type, const Extension& extension, std::uint32_t topic = 0,
          std::uint8_t flags = 0, const Message* message = nullptr) {
    std::string bytes;
    encode(extension, bytes);
    if (message == nullptr) return entries_.back()->add(type, flags, TopicUid(topic), bytes);
    blocks_.push_back(std::make_unique<std::string>(block_of(*message)));
    const auto block = MessageBlock::parse(*blocks_.back()).value();
    return entries_.back()->add(type, flags, TopicUid(topic), bytes, block.bytes(),
                                block.checksum());
  }
  void mark() { entries_.back()->add(RecordType::kMark, 0, TopicUid(), {}); }
  void seal() { entries_.back()->seal(kTimeMs + static_cast<std::int64_t>(index_)); }

  void write() {
    std::vector<Entry*> sealed;
    for (const auto& entry : entries_) sealed.push_back(entry.get());
    log_.write(sealed).value();
    entries_.clear();
  }

 private:
  Log& log_;
  std::uint64_t index_ = 0;
  std::vector<std::unique_ptr<Entry>> entries_{};
  std::vector<std::unique_ptr<std::string>> blocks_{};
};

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
  end.handle = Handle{id_from<LogId>(0x10), lsn, kTimeMs + 3};
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

std::string read_golden() {
  std::ifstream file(kGoldenFile, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

LogOptions golden_options() {
  LogOptions options;
  options.directory = kDirectory;
  options.segment_bytes = 64u << 10;
  options.prepare_ahead = false;
  return options;
}

TEST_CASE("the log is written as the golden segment holds it") {
  testing::MemoryFileSystem files;
  // The header comes first, because a segment's epoch is random.
  SegmentHeader header{.log = id_from<LogId>(0x10),
                       .shard = ShardId(0),
                       .epoch = 0x1122'3344'5566'7788,
                       .base = Lsn(0)};
  std::string segment = header.encode();
  segment.resize(64u << 10, '\0');
  const std::string path = kDirectory + "/" + segment_name(Lsn(0));
  files.set_content(path, segment);
  auto opened =
      Log::open(files, golden_options(), {}, [](const EntryView&) { return Result<void>(); });
  REQUIRE(opened);
  GoldenLog log(*opened->log);
  write_topics(log);
  write_messages(log);
  write_the_rest(log);
  const std::string bytes =
      files.content(path).substr(0, kSegmentHeaderBytes + opened->log->end().value);

  if (!std::filesystem::exists(kGoldenFile) && std::getenv("TALLY_WRITE_GOLDEN") != nullptr) {
    std::filesystem::create_directories(kGoldenFile.parent_path());
    std::ofstream(kGoldenFile, std::ios::binary) << bytes;
  }
  const std::string golden = read_golden();
  CHECK(golden.size() == bytes.size());
  CHECK(golden == bytes);
}

TEST_CASE("the golden segment opens and replays") {
  testing::MemoryFileSystem files;
  files.set_content(kDirectory + "/" + segment_name(Lsn(0)), read_golden());
  std::uint64_t records = 0;
  const auto opened = Log::open(files, golden_options(), {}, [&](const EntryView& entry) {
    records += entry.records.size();
    return Result<void>();
  });
  REQUIRE(opened);
  CHECK(opened->report.entries_replayed == 7);
  CHECK(records == 14);
  CHECK(opened->report.bytes_cut == 0);
}

}  // namespace
}  // namespace tally::store
