// Everything that a start reads from a log directory: any bytes as the content of its segment.
//
// The first byte of an input chooses: 0, the rest stands behind a valid segment header; 1, the rest
// is edits {u16 position, u8 value} of a segment with five entries; 2, the rest is an entry's
// header and records, whose checksums are made right, for no fuzzer would find them; 3, the rest is
// the whole file.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "protocol/base/bytes.h"
#include "protocol/base/check.h"
#include "protocol/base/checksum.h"
#include "store/entry_check.h"
#include "store/log.h"
#include "store/record_extensions.h"
#include "store/segment.h"
#include "tests/support/memory_file_system.h"

namespace tally::store {
namespace {

constexpr std::uint64_t kEpoch = 77;
constexpr std::size_t kFileBytes = 32u << 10;
constexpr std::size_t kBlockTrailerBytes = 8;

std::string header_bytes() {
  SegmentHeader header;
  header.log.bytes.fill(1);
  header.epoch = kEpoch;
  return header.encode();
}

LogOptions options() {
  LogOptions made;
  made.directory = "/log";
  made.segment_bytes = kFileBytes;
  made.new_log_id.bytes.fill(1);
  made.prepare_ahead = false;
  return made;
}

std::string segment_path() { return "/log/" + segment_name(Lsn(0)); }

void decode_all(const RecordView& record) {
  static_cast<void>(decode<ConfigExtension>(record.header, record.extension));
  static_cast<void>(decode<TopicChangeExtension>(record.header, record.extension));
  static_cast<void>(decode<GroupChangeExtension>(record.header, record.extension));
  static_cast<void>(decode<AppendExtension>(record.header, record.extension));
  static_cast<void>(decode<HalfExtension>(record.header, record.extension));
  static_cast<void>(decode<EndExtension>(record.header, record.extension));
  static_cast<void>(decode<CheckDeliveredExtension>(record.header, record.extension));
  static_cast<void>(decode<ParkExtension>(record.header, record.extension));
  static_cast<void>(decode<ResumeExtension>(record.header, record.extension));
  static_cast<void>(decode<SettleExtension>(record.header, record.extension));
}

struct Replayed {
  std::uint64_t entries = 0;
  Lsn end{};
  std::vector<RecordHeader> records{};
};

Result<Log::Opened> open(testing::MemoryFileSystem& files, Replayed& replayed) {
  return Log::open(files, options(), {}, [&](const EntryView& entry) {
    TALLY_CHECK(entry.header.lsn == replayed.end);
    ++replayed.entries;
    TALLY_CHECK(entry.header.index == EntryIndex(replayed.entries));
    replayed.end = entry.header.end();
    for (const RecordView& record : entry.records) {
      decode_all(record);
      replayed.records.push_back(record.header);
    }
    return Result<void>();
  });
}

std::unique_ptr<Entry> make_entry(const Log& log, std::string_view extension) {
  auto entry = std::make_unique<Entry>();
  entry->begin(EntryIndex(log.last_index().value + 1), Term(1), log.end());
  entry->add(RecordType::kPark, 0, TopicUid(), extension);
  entry->seal(1);
  return entry;
}

/// Opens, reads every message, writes, and opens again: nothing crashes, nothing is invented.
void check_recovery(const std::string& content) {
  testing::MemoryFileSystem files;
  files.set_content(segment_path(), content);
  Replayed first;
  {
    auto opened = open(files, first);
    if (!opened) {
      TALLY_CHECK(files.content(segment_path()) == content);
      return;
    }
    TALLY_CHECK(opened->log->end() == first.end);
    TALLY_CHECK(kSegmentHeaderBytes + first.end.value <= content.size());
    const std::string& now = files.content(segment_path());
    const std::size_t kept = kSegmentHeaderBytes + first.end.value;
    TALLY_CHECK(now.size() == content.size() && now.compare(0, kept, content, 0, kept) == 0);
    TALLY_CHECK(now.find_first_not_of('\0', kept) == std::string::npos);
    const auto reader = opened->log->reader();
    for (const RecordHeader& record : first.records) {
      std::string block;
      const auto read =
          reader->read_block(record.lsn, static_cast<std::uint32_t>(record.record_bytes()),
                             LogReader::Wait::kDisk, block);
      TALLY_CHECK(read.has_value() == has_block(record.type));
    }
    const auto entry = make_entry(*opened->log, "after");
    Entry* const entries[] = {entry.get()};
    TALLY_CHECK(opened->log->write(entries).has_value());
  }
  Replayed second;
  TALLY_CHECK(open(files, second).has_value());
  TALLY_CHECK(second.entries == first.entries + 1);
}

/// A segment with five small entries.
std::string valid_segment() {
  testing::MemoryFileSystem files;
  files.set_content(segment_path(), header_bytes() + std::string(1000, '\0'));
  Replayed ignored;
  auto opened = open(files, ignored);
  TALLY_CHECK(opened.has_value());
  for (int i = 0; i < 5; ++i) {
    const auto entry = make_entry(*opened->log, std::string(static_cast<std::size_t>(i), 'x'));
    Entry* const entries[] = {entry.get()};
    TALLY_CHECK(opened->log->write(entries).has_value());
  }
  return files.content(segment_path());
}

std::string edited(ByteReader& input) {
  static const std::string kValid = valid_segment();
  std::string content = kValid;
  while (input.left() >= 3) {
    const std::size_t at = input.get<std::uint16_t>() % content.size();
    content[at] = static_cast<char>(input.get<std::uint8_t>());
  }
  return content;
}

/// Sets each record's LSN and its block's checksum, and collects the heads, as far as they go.
std::string repair_records(std::string& bytes, const EntryHeader& header) {
  std::string heads(bytes, kPreambleBytes, kEntryChecksumOffset);
  std::size_t at = kEntryHeadBytes;
  for (std::uint32_t i = 0; i < header.record_count; ++i) {
    if (bytes.size() - at < kRecordHeaderBytes) break;
    RecordHeader record = RecordHeader::load(bytes.data() + at);
    if (record.record_bytes() > bytes.size() - at) break;
    record.lsn = Lsn(at);
    const std::size_t block_at = at + kRecordHeaderBytes + record.extension_bytes;
    if (record.block_bytes >= kBlockTrailerBytes) {
      const std::size_t covered = record.block_bytes - kBlockTrailerBytes;
      record.block_checksum = checksum(std::string_view(bytes).substr(block_at, covered));
      store_le(bytes.data() + block_at + covered, record.block_checksum);
    }
    record.store(bytes.data() + at);
    heads.append(bytes, at, block_at - at);
    at += record.record_bytes();
  }
  return heads;
}

std::string repaired_entry(std::string bytes) {
  if (bytes.size() < kEntryHeadBytes) return header_bytes() + bytes;
  char* const raw = bytes.data() + kPreambleBytes;
  store_le(raw, kEntryMagic);
  store_le(raw + 4, kRulesVersion);
  store_le(raw + 6, std::uint16_t{0});
  EntryHeader header = *EntryHeader::load(raw);
  header.index = EntryIndex(1);
  header.lsn = Lsn(0);
  header.store(raw);
  header.checksum = checksum(repair_records(bytes, header));
  header.store(raw);
  Preamble::make(kEpoch, Lsn(0), Lsn(0), header.checksum).store(bytes.data());
  return header_bytes() + bytes;
}

void run(std::string_view input) {
  ByteReader reader(input);
  const auto mode = reader.get<std::uint8_t>() % 4;
  std::string content;
  if (mode == 1) {
    content = edited(reader);
  } else {
    content = reader.get_bytes(reader.left());
    if (mode == 0) content = header_bytes() + content;
    if (mode == 2) content = repaired_entry(std::move(content));
  }
  check_recovery(content);
}

}  // namespace
}  // namespace tally::store

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tally::store::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
