#pragma once
// Segment files: their names, their 4 KiB header, and where an LSN stands in them.
//
//    0  8   magic "TALLYLOG"
//    8  u32 format version = 1
//   12  u32 shard
//   16  16  log id
//   32  u64 segment epoch: random, so that bytes of another segment file are never taken for entries
//   40  u64 base LSN: of the byte at position 4096
//   48  zeroes
// 4088  u64 XXH3-64 over bytes 0-4087

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tally/ids.hpp>
#include <tally/result.hpp>
#include <vector>

#include "store/file_system.h"

namespace tally::store {

inline constexpr std::uint64_t kSegmentHeaderBytes = 4096;
inline constexpr std::uint32_t kSegmentFormat = 1;
/// A segment that is being prepared stands under this name until its base is known.
inline constexpr std::string_view kNextSegmentName = "next.segment";
/// Allocated for the day when the disk has no room for a segment.
inline constexpr std::string_view kReserveName = "reserve.segment";
inline constexpr std::string_view kLockName = "lock";
/// Behind the name of a segment that was removed and whose room is being given back.
inline constexpr std::string_view kGoneSuffix = ".gone";

struct SegmentHeader {
  LogId log{};
  ShardId shard{};
  std::uint64_t epoch = 0;
  Lsn base{};
  std::string encode() const;
  /// Errors: DATA_FORMAT, DATA_DAMAGED; `path` stands in their message.
  static Result<SegmentHeader> decode(std::string_view bytes, const std::string& path);
};

/// `<LSN, 20 digits><suffix>`, as segments and bases are named.
std::string lsn_name(Lsn lsn, std::string_view suffix);
std::optional<Lsn> parse_lsn_name(std::string_view name, std::string_view suffix);
/// `<base, 20 digits>.log`
std::string segment_name(Lsn base);
std::optional<Lsn> parse_segment_name(std::string_view name);

/// An open segment. Its file is written by the log thread, and read by every thread.
struct Segment {
  std::string path{};
  SegmentHeader header{};
  std::uint64_t file_bytes = 0;
  std::unique_ptr<File> file{};

  Lsn base() const { return header.base; }
  Lsn limit() const { return Lsn(base().value + file_bytes - kSegmentHeaderBytes); }
  std::uint64_t position(Lsn lsn) const { return kSegmentHeaderBytes + lsn.value - base().value; }
};

/// In the order of their bases, without gaps between their LSNs. The first may begin at any LSN:
/// retention removes segments from the front.
using Segments = std::vector<std::shared_ptr<const Segment>>;

/// The last segment that begins at or before `lsn`; null when there is none.
const Segment* find_segment(const Segments& segments, Lsn lsn);

/// What a log directory holds, checked by names and headers only. `tail_mode` is that of the last
/// segment's file. Errors: DATA_FORMAT (foreign files, other version, other shard), DATA_DAMAGED.
Result<Segments> open_segments(FileSystem& files, const std::string& directory, ShardId shard,
                               FileSystem::Mode tail_mode);

/// For writes and syncs of a segment: its room was taken when it was made, so a disk that has none
/// is broken. DISK_FULL becomes IO_ERROR.
Result<void> as_disk_failure(Result<void>&& result);

/// A file that is to become a segment.
struct Unnamed {
  std::unique_ptr<File> file{};
  std::string_view name{};      ///< in the log's directory: kNextSegmentName or kReserveName
  std::uint64_t bytes_min = 0;  ///< that the segment must have
};

/// Makes a prepared file a segment: header, sync, name, directory sync.
Result<std::shared_ptr<const Segment>> name_segment(FileSystem& files, const std::string& directory,
                                                    Unnamed&& unnamed, const SegmentHeader& header);

}  // namespace tally::store
