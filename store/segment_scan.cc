#include "store/segment_scan.h"

#include <algorithm>
#include <cstring>

#include "protocol/base/bytes.h"

namespace tally::store {
namespace {

constexpr std::size_t kScanPieceBytes = 1u << 20;
constexpr std::size_t kSkipPieceBytes = 64u << 10;  // bodies longer than this are not even read

/// Looks for heads at every multiple of 8 in `bytes`, of which the first `size` may begin one.
void search_piece(const Segment& segment, std::string_view bytes, std::size_t size, Lsn begin,
                  Lsn stopped_at, Remainder& found) {
  for (std::size_t at = 0; at < size; at += kEntryAlignment) {
    const std::size_t left = std::min<std::size_t>(bytes.size() - at, kEntryAlignment);
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, left);
    if (word != 0) found.used_end = segment.position(Lsn(begin.value + at)) + left;
    if (bytes.size() - at < kEntryHeadBytes ||
        load_le<std::uint32_t>(bytes.data() + at + kPreambleBytes) != kEntryMagic) {
      continue;
    }
    const Lsn lsn(begin.value + at);
    const auto durable = witness_at(bytes.substr(at, kEntryHeadBytes), lsn, segment.header.epoch);
    if (!durable) continue;
    ++found.heads;
    if (*durable > stopped_at && !found.witness) {
      found.witness = Remainder::Witness{.entry = lsn, .durable = *durable};
    }
  }
}

}  // namespace

Result<std::string_view> FileWindow::at(std::uint64_t position, std::size_t size) {
  if (position < start_ || position + size > start_ + filled_) {
    const std::uint64_t left = segment_.file_bytes - std::min(position, segment_.file_bytes);
    const std::size_t wanted = std::min(std::max(size, piece_bytes_), left);
    if (buffer_.size() < wanted) buffer_.resize(wanted);
    start_ = position;
    filled_ = 0;
    TALLY_TRY(filled_, segment_.file->read(position, buffer_.data(), wanted));
  }
  const std::size_t from = position - start_;
  return std::string_view(buffer_).substr(from, std::min(size, filled_ - from));
}

SegmentScan::SegmentScan(const Segment& segment)
    : segment_(segment), window_(segment, kScanPieceBytes) {}

Result<std::optional<Stop>> SegmentScan::read(Lsn lsn, Lsn limit, std::optional<EntryIndex> index,
                                              bool check_blocks) {
  const EntryPlace place{.lsn = lsn,
                         .limit = limit,
                         .index = index,
                         .segment_epoch = segment_.header.epoch,
                         .check_blocks = check_blocks};
  const std::uint64_t position = segment_.position(lsn);
  TALLY_TRY(const std::string_view head, window_.at(position, kEntryHeadBytes));
  EntryHeader header;
  if (const auto stop = check_head(head, place, header)) return stop;
  TALLY_TRY(const std::string_view whole, window_.at(position, header.entry_bytes));
  return check_entry(whole, place, header, entry_);
}

Result<std::optional<EntryHeader>> skip_to(const Segment& segment, Lsn end) {
  FileWindow window(segment, kSkipPieceBytes);
  EntryPlace place{.lsn = segment.base(), .limit = end, .segment_epoch = segment.header.epoch};
  std::optional<EntryHeader> last;
  while (place.lsn < end) {
    TALLY_TRY(const std::string_view head, window.at(segment.position(place.lsn), kEntryHeadBytes));
    EntryHeader header;
    if (check_head(head, place, header) || !witness_at(head, place.lsn, segment.header.epoch) ||
        (last && header.index.value != last->index.value + 1)) {
      return std::optional<EntryHeader>();
    }
    place.lsn = header.end();
    last = header;
  }
  return last;
}

Result<Remainder> search_remainder(const Segment& segment, Lsn lsn, std::uint64_t data_end) {
  FileWindow window(segment, kScanPieceBytes);
  Remainder found;
  // Pieces overlap by a head, so that none is missed between them.
  constexpr std::size_t kStep = kScanPieceBytes - kPageBytes;
  for (Lsn begin = lsn; segment.position(begin) < data_end; begin = Lsn(begin.value + kStep)) {
    TALLY_TRY(const std::string_view bytes, window.at(segment.position(begin), kScanPieceBytes));
    search_piece(segment, bytes, std::min(bytes.size(), kStep), begin, lsn, found);
  }
  return found;
}

}  // namespace tally::store
