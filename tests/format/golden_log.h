#pragma once
// Writes logs that are the same each time, for golden files: fixed ids, epochs and times.

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "protocol/base/message_block.h"
#include "store/log.h"
#include "store/record_extensions.h"
#include "store/segment.h"
#include "tests/support/memory_file_system.h"

namespace tally::testing {

constexpr std::int64_t kGoldenTimeMs = 1'700'000'000'000;

template <typename IdType>
IdType id_from(std::uint8_t first) {
  IdType id;
  for (std::uint8_t& byte : id.bytes) byte = first++;
  return id;
}

inline LogId golden_log_id() { return id_from<LogId>(0x10); }

/// Seals entries and writes them; holds their blocks.
class GoldenLog {
 public:
  explicit GoldenLog(store::Log& log, std::int64_t first_time_ms = kGoldenTimeMs)
      : log_(log), first_time_ms_(first_time_ms), index_(log.last_index().value) {}

  void begin() {
    auto entry = std::make_unique<store::Entry>();
    const Lsn lsn = entries_.empty() ? log_.end() : entries_.back()->header().end();
    entry->begin(EntryIndex(++index_), Term(1), lsn);
    entries_.push_back(std::move(entry));
  }

  template <typename Extension>
  Lsn add(store::RecordType type, const Extension& extension, std::uint32_t topic = 0,
          std::uint8_t flags = 0, const Message* message = nullptr) {
    std::string bytes;
    encode(extension, bytes);
    if (message == nullptr) return entries_.back()->add(type, flags, TopicUid(topic), bytes);
    blocks_.push_back(std::make_unique<std::string>());
    append_message_block(*message, first_time_ms_, *blocks_.back()).value();
    const auto block = MessageBlock::parse(*blocks_.back()).value();
    return entries_.back()->add(type, flags, TopicUid(topic), bytes, block.bytes(),
                                block.checksum());
  }
  void mark() { entries_.back()->add(store::RecordType::kMark, 0, TopicUid(), {}); }
  std::int64_t time_ms() const { return first_time_ms_ + static_cast<std::int64_t>(index_); }
  void seal() { entries_.back()->seal(time_ms()); }

  void write() {
    std::vector<store::Entry*> sealed;
    for (const auto& entry : entries_) sealed.push_back(entry.get());
    log_.write(sealed).value();
    entries_.clear();
  }

 private:
  store::Log& log_;
  const std::int64_t first_time_ms_;
  std::uint64_t index_;
  std::vector<std::unique_ptr<store::Entry>> entries_{};
  std::vector<std::unique_ptr<std::string>> blocks_{};
};

constexpr std::uint64_t kGoldenSegmentBytes = 64u << 10;

inline store::LogOptions golden_options(const std::string& directory) {
  store::LogOptions options;
  options.directory = directory;
  options.segment_bytes = kGoldenSegmentBytes;
  options.prepare_ahead = false;
  return options;
}

/// An empty segment at `base`; its header comes before the log, because a segment's epoch is random.
inline std::string put_segment(MemoryFileSystem& files, const std::string& directory, Lsn base) {
  const store::SegmentHeader header{.log = golden_log_id(),
                                    .shard = ShardId(0),
                                    .epoch = 0x1122'3344'5566'7788 + base.value,
                                    .base = base};
  std::string content = header.encode();
  content.resize(kGoldenSegmentBytes, '\0');
  std::string path = directory + "/" + store::segment_name(base);
  files.set_content(path, std::move(content));
  return path;
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

/// The bytes are those of the golden file. A difference means that existing data directories are no
/// longer understood: a new format version, not a new golden file. TALLY_WRITE_GOLDEN=1 writes the
/// file when it is missing.
inline void check_golden(const std::filesystem::path& path, const std::string& bytes) {
  if (!std::filesystem::exists(path) && std::getenv("TALLY_WRITE_GOLDEN") != nullptr) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
  }
  INFO(path.string());
  const std::string golden = read_file(path);
  CHECK(golden.size() == bytes.size());
  CHECK(golden == bytes);
}

}  // namespace tally::testing
