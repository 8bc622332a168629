#include "store/index/leveldb_check.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "protocol/base/bytes.h"

namespace tally::store {
namespace {

constexpr std::string_view kLogSuffix = ".log";
constexpr std::string_view kTableSuffix = ".ldb";

Error damaged(std::string_view file, std::string_view what) {
  return Error(ErrorCode::kDataDamaged, "index: " + std::string(file) + ": " + std::string(what));
}

Result<std::string> read_whole(FileSystem& files, const std::string& path) {
  TALLY_TRY(const auto file, files.open(path, FileSystem::Mode::kRead));
  TALLY_TRY(const std::uint64_t size, file->size());
  std::string bytes(size, '\0');
  TALLY_TRY(const std::size_t got, file->read(0, bytes.data(), bytes.size()));
  bytes.resize(got);
  return bytes;
}

/// The records of a log or manifest, as LevelDB sees them: blocks of 32 KiB, in them pieces of
/// {u32 CRC, u16 bytes, u8 kind}. CRCs are left to LevelDB.
class Records {
 public:
  explicit Records(std::string_view bytes) : bytes_(bytes) {}

  bool next(std::string& record) {
    record.clear();
    bool begun = false;
    while (const auto piece = next_piece()) {
      const bool begins = piece->kind == kFull || piece->kind == kFirst;
      if (begins == begun) skipped_ = true;
      if (begins) record.clear();
      begun = begins || begun;
      if (!begun) continue;
      record.append(piece->bytes);
      if (piece->kind == kFull || piece->kind == kLast) return true;
    }
    return false;
  }

  /// Something was passed over before the last record.
  bool skipped() const { return skipped_; }

 private:
  static constexpr std::size_t kBlockBytes = 32u << 10;
  static constexpr std::size_t kHeadBytes = 7;
  enum Kind : std::uint8_t { kErased, kFull, kFirst, kMiddle, kLast };
  struct Piece {
    std::uint8_t kind = 0;
    std::string_view bytes{};
  };

  std::optional<Piece> next_piece() {
    while (at_ < bytes_.size()) {
      const std::size_t block_end = std::min(at_ - at_ % kBlockBytes + kBlockBytes, bytes_.size());
      const std::string_view left = bytes_.substr(at_, block_end - at_);
      at_ = block_end;
      if (left.size() < kHeadBytes) continue;
      const auto size = load_le<std::uint16_t>(left.data() + 4);
      const auto kind = static_cast<std::uint8_t>(left[6]);
      if (kind == kErased || kind > kLast || kHeadBytes + size > left.size()) {
        skipped_ = true;
        continue;
      }
      at_ = block_end - left.size() + kHeadBytes + size;
      return Piece{kind, left.substr(kHeadBytes, size)};
    }
    return std::nullopt;
  }

  const std::string_view bytes_;
  std::size_t at_ = 0;
  bool skipped_ = false;
};

/// What the manifest says of logs.
struct Version {
  std::uint64_t log = 0;  ///< the oldest log that is needed; 0: none is known yet
  std::uint64_t next_file = 0;
  std::uint64_t last_sequence = 0;

  /// Applies one record. False: it is none, or one that does not follow.
  bool apply(std::string_view edit) {
    const Version before = *this;
    while (!edit.empty()) {
      if (!apply_field(edit)) return false;
    }
    return log >= before.log && next_file >= before.next_file &&
           last_sequence >= before.last_sequence;
  }

 private:
  enum Tag : std::uint8_t {
    kComparator = 1,
    kLog = 2,
    kNextFile = 3,
    kLastSequence = 4,
    kCompactPointer = 5,
    kDeletedTable = 6,
    kNewTable = 7,
    kEarlierLog = 9,
  };

  static bool take(std::string_view& from, std::uint64_t& number) {
    number = 0;
    for (unsigned shift = 0; shift < 64 && !from.empty(); shift += 7) {
      const auto byte = static_cast<std::uint8_t>(from.front());
      from.remove_prefix(1);
      number |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  static bool pass_number(std::string_view& from) {
    std::uint64_t number = 0;
    return take(from, number);
  }
  static bool pass_text(std::string_view& from) {
    std::uint64_t size = 0;
    if (!take(from, size) || size > from.size()) return false;
    from.remove_prefix(size);
    return true;
  }

  bool apply_field(std::string_view& from) {
    std::uint64_t tag = 0;
    if (!take(from, tag)) return false;
    switch (tag) {
      case kComparator:
        return pass_text(from);
      case kLog:
        return take(from, log);
      case kNextFile:
        return take(from, next_file);
      case kLastSequence:
        return take(from, last_sequence);
      case kCompactPointer:  // level, key
        return pass_number(from) && pass_text(from);
      case kDeletedTable:  // level, file
        return pass_number(from) && pass_number(from);
      case kNewTable:  // level, file, bytes, first and last key
        return pass_number(from) && pass_number(from) && pass_number(from) && pass_text(from) &&
               pass_text(from);
      case kEarlierLog:
        return pass_number(from);
      default:
        return false;
    }
  }
};

Result<Version> read_manifest(FileSystem& files, const std::string& directory) {
  TALLY_TRY(std::string name, read_whole(files, directory + "/CURRENT"));
  if (name.empty() || name.back() != '\n') return damaged("CURRENT", "is not whole");
  name.pop_back();
  TALLY_TRY(const bool there, files.exists(directory + "/" + name));
  if (!there) return damaged(name, "is missing");
  TALLY_TRY(const std::string bytes, read_whole(files, directory + "/" + name));
  Version version;
  Records records(bytes);
  std::string record;
  while (records.next(record)) {
    if (records.skipped()) return damaged(name, "something in its middle is missing");
    if (!version.apply(record)) return damaged(name, "a record of it does not follow");
  }
  return version;
}

struct LogFile {
  std::uint64_t number = 0;
  std::string name{};
};

std::optional<std::uint64_t> parse_log_name(std::string_view name) {
  if (!name.ends_with(kLogSuffix)) return std::nullopt;
  name.remove_suffix(kLogSuffix.size());
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (failure != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

/// Each write is a record that begins with {u64 number of its first row, u32 rows}. `next`: what
/// the first one has to be.
Result<void> check_log(std::string_view name, std::string_view bytes,
                       std::optional<std::uint64_t>& next, std::uint64_t last_of_tables) {
  constexpr std::size_t kHeadBytes = 12;
  Records records(bytes);
  std::string record;
  while (records.next(record)) {
    if (record.size() < kHeadBytes) return damaged(name, "a write is too short");
    const auto first = load_le<std::uint64_t>(record.data());
    if (next ? first != *next : first > last_of_tables + 1) {
      return damaged(name, "row " + std::to_string(first) + " stands where " +
                               std::to_string(next.value_or(last_of_tables + 1)) + " should");
    }
    next = first + load_le<std::uint32_t>(record.data() + 8);
  }
  return {};
}

}  // namespace

Result<void> check_leveldb(FileSystem& files, const std::string& directory) {
  TALLY_TRY(const std::vector<std::string> names, files.list(directory));
  std::vector<LogFile> logs;
  bool has_tables = false;
  for (const std::string& name : names) {
    if (const auto number = parse_log_name(name)) logs.push_back({*number, name});
    has_tables |= name.ends_with(kTableSuffix);
  }
  if (std::find(names.begin(), names.end(), "CURRENT") == names.end()) {
    if (logs.empty() && !has_tables) return {};
    return damaged("CURRENT", "is missing");
  }
  TALLY_TRY(const Version version, read_manifest(files, directory));
  std::erase_if(logs, [&](const LogFile& log) { return log.number < version.log; });
  std::sort(logs.begin(), logs.end(),
            [](const LogFile& a, const LogFile& b) { return a.number < b.number; });
  if (version.log != 0 && (logs.empty() || logs.front().number != version.log)) {
    return damaged("log " + std::to_string(version.log), "is missing");
  }
  std::optional<std::uint64_t> next;
  for (const LogFile& log : logs) {
    TALLY_TRY(const std::string bytes, read_whole(files, directory + "/" + log.name));
    TALLY_TRY_VOID(check_log(log.name, bytes, next, version.last_sequence));
  }
  return {};
}

}  // namespace tally::store
