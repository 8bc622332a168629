#pragma once
// A log over a file system in memory, with messages to write and a record of what replay saw.

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "protocol/base/checksum.h"
#include "store/log.h"
#include "store/segment.h"
#include "tests/support/memory_file_system.h"

namespace tally::testing {

inline constexpr std::size_t kSmallSegmentBytes = 64u << 10;

/// Any bytes that end in their own checksum: all that the store knows of a message block.
inline std::string make_block(std::string_view body) {
  std::string block(body);
  const std::uint64_t sum = checksum(block);
  block.append(reinterpret_cast<const char*>(&sum), sizeof sum);
  return block;
}

inline std::uint64_t trailer(const std::string& block) {
  std::uint64_t sum = 0;
  std::memcpy(&sum, block.data() + block.size() - sizeof sum, sizeof sum);
  return sum;
}

/// A sealed entry and the blocks it refers to.
struct OwnedEntry {
  std::vector<std::string> blocks{};
  std::vector<Lsn> records{};
  store::Entry entry{};
};

inline std::unique_ptr<OwnedEntry> make_entry(EntryIndex index, Lsn lsn,
                                              std::vector<std::string> bodies) {
  auto made = std::make_unique<OwnedEntry>();
  for (const std::string& body : bodies) made->blocks.push_back(make_block(body));
  made->entry.begin(index, Term(1), lsn);
  for (const std::string& block : made->blocks) {
    made->records.push_back(made->entry.add(store::RecordType::kAppend, 0, TopicUid(7), "extended",
                                            block, trailer(block)));
  }
  if (bodies.empty()) made->entry.add(store::RecordType::kMark, 0, TopicUid(), {});
  made->entry.seal(1'000'000 + static_cast<std::int64_t>(index.value));
  return made;
}

struct LogFixture {
  std::unique_ptr<MemoryFileSystem> files = std::make_unique<MemoryFileSystem>();
  store::LogOptions options{};
  std::unique_ptr<store::Log> log{};
  store::RecoveryReport report{};
  std::vector<store::EntryHeader> seen{};  ///< by the last open()

  LogFixture() {
    options.directory = "/data/0/log";
    options.segment_bytes = kSmallSegmentBytes;
    options.new_log_id.bytes.fill(0x5a);
    options.prepare_ahead = false;
  }

  Result<void> open(const store::ReplayFrom& from = {}) {
    log.reset();
    seen.clear();
    report = {};
    auto opened = store::Log::open(*files, options, from, [&](const store::EntryView& entry) {
      seen.push_back(entry.header);
      return Result<void>();
    });
    if (!opened) return opened.error();
    report = opened->report;
    log = std::move(opened->log);
    return {};
  }

  /// The disk after a power cut; the log is closed.
  void crash(const CrashKeeps& keeps) {
    auto image = files->after_crash(keeps);
    log.reset();
    files = std::move(image);
  }

  std::unique_ptr<OwnedEntry> next_entry(std::vector<std::string> bodies) const {
    return make_entry(EntryIndex(log->last_index().value + 1), log->end(), std::move(bodies));
  }

  Result<void> write(std::vector<std::string> bodies) {
    return write_entry(*next_entry(std::move(bodies)));
  }

  Result<void> write_entry(OwnedEntry& entry) {
    store::Entry* const entries[] = {&entry.entry};
    return log->write(entries);
  }

  std::string segment_path(Lsn base) const {
    return options.directory + "/" + store::segment_name(base);
  }
  std::string segment(Lsn base = Lsn(0)) const { return files->content(segment_path(base)); }
  void set_segment(std::string content, Lsn base = Lsn(0)) {
    files->set_content(segment_path(base), std::move(content));
  }
};

}  // namespace tally::testing
