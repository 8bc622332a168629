#include "store/segment.h"

#include <algorithm>
#include <charconv>

#include "protocol/base/bytes.h"
#include "protocol/base/checksum.h"
#include "protocol/base/fail_point.h"
#include "protocol/base/seeded_bug.h"
#include "store/entry.h"

namespace tally::store {
namespace {

constexpr std::string_view kMagic = "TALLYLOG";
constexpr std::string_view kSuffix = ".log";
constexpr std::size_t kLsnDigits = 20;
constexpr std::size_t kChecksumOffset = kSegmentHeaderBytes - sizeof(std::uint64_t);
/// On a full disk a segment gives up so much for blocks that its name needs in the directory.
constexpr std::uint64_t kNameRoomBytes = 64u << 10;

Error damaged(const std::string& path, std::string_view what) {
  return Error(ErrorCode::kDataDamaged, path + ": " + std::string(what));
}

Result<std::shared_ptr<const Segment>> open_segment(FileSystem& files, const std::string& path,
                                                    FileSystem::Mode mode) {
  auto segment = std::make_shared<Segment>();
  segment->path = path;
  TALLY_TRY(segment->file, files.open(path, mode));
  TALLY_TRY(segment->file_bytes, segment->file->size());
  std::string raw(kSegmentHeaderBytes, '\0');
  TALLY_TRY(const std::size_t got, segment->file->read(0, raw.data(), raw.size()));
  if (got < raw.size()) return damaged(path, "shorter than a segment's header");
  TALLY_TRY(segment->header, SegmentHeader::decode(raw, path));
  return std::shared_ptr<const Segment>(std::move(segment));
}

/// Checks a segment against its name, the shard, and the one before it.
Result<void> check_order(const Segment& segment, Lsn named, ShardId shard, const Segment* before) {
  const SegmentHeader& header = segment.header;
  if (header.shard != shard) {
    return Error(ErrorCode::kDataFormat, segment.path + ": belongs to shard " +
                                             std::to_string(header.shard.value) + ", not to " +
                                             std::to_string(shard.value));
  }
  if (header.base != named) {
    return damaged(segment.path, "begins at LSN " + std::to_string(header.base.value) +
                                     ", which is not its name");
  }
  if (before == nullptr) return {};
  if (header.log != before->header.log) {
    return damaged(segment.path, "belongs to another log than " + before->path);
  }
  // A full segment leaves less room than the first entry of the next one takes, so that a missing
  // segment always shows as a gap.
  if (header.base > before->limit()) {
    return damaged(segment.path, "the segment before it is missing, LSN " +
                                     std::to_string(before->limit().value) + " to " +
                                     std::to_string(header.base.value));
  }
  return {};
}

}  // namespace

std::string SegmentHeader::encode() const {
  std::string raw;
  raw.reserve(kSegmentHeaderBytes);
  ByteWriter out(raw);
  out.put_bytes(kMagic);
  out.put(kSegmentFormat);
  out.put(shard.value);
  out.put_bytes(log.view());
  out.put(epoch);
  out.put(base.value);
  raw.resize(kChecksumOffset, '\0');
  out.put(checksum(raw));
  return raw;
}

Result<SegmentHeader> SegmentHeader::decode(std::string_view bytes, const std::string& path) {
  ByteReader in(bytes.substr(0, kSegmentHeaderBytes));
  if (in.get_bytes(kMagic.size()) != kMagic) {
    return damaged(path, "does not begin as a segment of a log");
  }
  // Before the checksum: another version may have its own.
  if (const auto version = in.get<std::uint32_t>(); version != kSegmentFormat) {
    return Error(ErrorCode::kDataFormat, path + ": has format version " + std::to_string(version) +
                                             "; this program knows version " +
                                             std::to_string(kSegmentFormat));
  }
  const std::string_view covered = bytes.substr(0, kChecksumOffset);
  if (checksum(covered) != load_le<std::uint64_t>(bytes.data() + kChecksumOffset)) {
    return damaged(path, "the segment's header does not match its checksum");
  }
  SegmentHeader header;
  header.shard = ShardId(in.get<std::uint32_t>());
  const std::string_view id = in.get_bytes(header.log.bytes.size());
  std::copy(id.begin(), id.end(), header.log.bytes.begin());
  header.epoch = in.get<std::uint64_t>();
  header.base = Lsn(in.get<std::uint64_t>());
  if (header.base.value % kEntryAlignment != 0) return damaged(path, "its base is no LSN");
  return header;
}

std::string lsn_name(Lsn lsn, std::string_view suffix) {
  std::string digits = std::to_string(lsn.value);
  return std::string(kLsnDigits - digits.size(), '0').append(digits).append(suffix);
}

std::optional<Lsn> parse_lsn_name(std::string_view name, std::string_view suffix) {
  if (name.size() != kLsnDigits + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
  const std::string_view digits = name.substr(0, kLsnDigits);
  Lsn lsn;
  const auto [end, failure] =
      std::from_chars(digits.data(), digits.data() + digits.size(), lsn.value);
  if (failure != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return lsn;
}

std::string segment_name(Lsn base) { return lsn_name(base, kSuffix); }

std::optional<Lsn> parse_segment_name(std::string_view name) {
  return parse_lsn_name(name, kSuffix);
}

const Segment* find_segment(const Segments& segments, Lsn lsn) {
  const auto after = std::upper_bound(
      segments.begin(), segments.end(), lsn,
      [](Lsn value, const std::shared_ptr<const Segment>& item) { return value < item->base(); });
  return after == segments.begin() ? nullptr : std::prev(after)->get();
}

Result<Segments> open_segments(FileSystem& files, const std::string& directory, ShardId shard,
                               FileSystem::Mode tail_mode) {
  TALLY_TRY(const std::vector<std::string> names, files.list(directory));
  std::vector<Lsn> bases;
  for (const std::string& name : names) {
    if (const auto base = parse_segment_name(name)) {
      bases.push_back(*base);
    } else if (name != kNextSegmentName && name != kReserveName && name != kLockName &&
               !name.ends_with(kGoneSuffix)) {
      return Error(ErrorCode::kDataFormat, directory + ": " + name + " is no file of a log");
    }
  }
  std::sort(bases.begin(), bases.end());
  Segments segments;
  for (const Lsn base : bases) {
    const auto mode = base == bases.back() ? tail_mode : FileSystem::Mode::kRead;
    TALLY_TRY(auto segment, open_segment(files, directory + "/" + segment_name(base), mode));
    TALLY_TRY_VOID(
        check_order(*segment, base, shard, segments.empty() ? nullptr : segments.back().get()));
    segments.push_back(std::move(segment));
  }
  return segments;
}

Result<void> as_disk_failure(Result<void>&& result) {
  if (result || result.error().code != ErrorCode::kDiskFull) return std::move(result);
  return Error(ErrorCode::kIo, std::move(result).error().message);
}

Result<std::shared_ptr<const Segment>> name_segment(FileSystem& files, const std::string& directory,
                                                    Unnamed&& unnamed,
                                                    const SegmentHeader& header) {
  auto segment = std::make_shared<Segment>();
  segment->header = header;
  segment->path = directory + "/" + segment_name(header.base);
  segment->file = std::move(unnamed.file);
  TALLY_TRY(segment->file_bytes, segment->file->size());
  std::string raw = header.encode();
  const iovec piece{raw.data(), raw.size()};
  TALLY_TRY_VOID(as_disk_failure(segment->file->write(0, {&piece, 1})));
  // A segment's name promises a whole header and that everything before its base is durable.
  TALLY_TRY_VOID(as_disk_failure(segment->file->sync()));
  TALLY_FAIL_POINT("log.roll.after_header");
  const std::string from = directory + "/" + std::string(unnamed.name);
  auto renamed = files.rename(from, segment->path);
  if (!renamed && renamed.error().code == ErrorCode::kDiskFull &&
      segment->file_bytes >= unnamed.bytes_min + kNameRoomBytes) {
    segment->file_bytes -= kNameRoomBytes;
    TALLY_TRY_VOID(segment->file->truncate(segment->file_bytes));
    TALLY_TRY_VOID(segment->file->sync());
    renamed = files.rename(from, segment->path);
  }
  TALLY_TRY_VOID(std::move(renamed));
  TALLY_FAIL_POINT("log.roll.after_rename");
  if (!TALLY_SEEDED_BUG("missing_directory_sync")) TALLY_TRY_VOID(files.sync_directory(directory));
  TALLY_FAIL_POINT("log.roll.after_directory_sync");
  return std::shared_ptr<const Segment>(std::move(segment));
}

}  // namespace tally::store
