#include "store/log_reader.h"

#include <cstring>
#include <optional>

#include "protocol/base/check.h"
#include "protocol/base/seeded_bug.h"
#include "store/entry_check.h"

namespace tally::store {
namespace {

Error wrong(const Segment& segment, Lsn lsn, std::string_view what) {
  return Error(ErrorCode::kDataDamaged, segment.path + ": position " +
                                            std::to_string(segment.position(lsn)) + " (LSN " +
                                            std::to_string(lsn.value) + "): " + std::string(what));
}

/// The record's bytes behind `start` of `out`. False: not in the cache.
Result<bool> read_record(const Segment& segment, Lsn lsn, std::size_t record_bytes,
                         LogReader::Wait wait, std::size_t start, std::string& out) {
  out.resize(start + record_bytes);
  std::size_t got = 0;
  if (wait == LogReader::Wait::kCachedOnly) {
    TALLY_TRY(const std::optional<std::size_t> cached,
              segment.file->read_cached(segment.position(lsn), out.data() + start, record_bytes));
    if (!cached) return false;
    got = *cached;
  } else {
    TALLY_TRY(got, segment.file->read(segment.position(lsn), out.data() + start, record_bytes));
  }
  if (got < record_bytes) return wrong(segment, lsn, "the file ends before the record does");
  return true;
}

/// Checks the record at `start` of `out` and leaves its block there.
Result<bool> keep_block(const Segment& segment, Lsn lsn, std::size_t start, std::string& out) {
  const RecordHeader header = RecordHeader::load(out.data() + start);
  if ((header.lsn != lsn && !TALLY_SEEDED_BUG("checksum_not_bound_to_offset")) ||
      !has_block(header.type) || header.record_bytes() != out.size() - start) {
    return wrong(segment, lsn, "another record stands there");
  }
  if (!RecordHeader::is_whole(out.data() + start)) {
    return wrong(segment, lsn, "the record's header is wrong");
  }
  const std::size_t block_start = start + kRecordHeaderBytes + header.extension_bytes;
  if (!block_is_valid(std::string_view(out).substr(block_start), header.block_checksum)) {
    return wrong(segment, lsn, "the message's checksum is wrong");
  }
  std::memmove(out.data() + start, out.data() + block_start, header.block_bytes);
  out.resize(start + header.block_bytes);
  return true;
}

}  // namespace

SegmentReader::SegmentReader(Segments segments, Lsn durable)
    : segments_(std::make_shared<const Segments>(std::move(segments))), durable_(durable.value) {}

Result<bool> SegmentReader::read_block(Lsn lsn, std::uint32_t record_bytes, Wait wait,
                                       std::string& out) const {
  const std::shared_ptr<const Segments> present = segments();
  const Segment* segment = find_segment(*present, lsn);
  if (segment == nullptr) {
    return Error(ErrorCode::kExpired,
                 "the segment of LSN " + std::to_string(lsn.value) + " is no longer kept");
  }
  if (record_bytes < kRecordHeaderBytes || lsn.value + record_bytes > durable().value) {
    return wrong(*segment, lsn, "no durable record of this length can stand there");
  }
  const std::size_t start = out.size();
  auto read = read_record(*segment, lsn, record_bytes, wait, start, out);
  if (read && *read) read = keep_block(*segment, lsn, start, out);
  if (!read || !*read) out.resize(start);
  return read;
}

void SegmentReader::add(std::shared_ptr<const Segment> segment) {
  const std::lock_guard lock(changing_);
  auto grown = std::make_shared<Segments>(*segments());
  // Too small for its first entry, it is still empty: its file was replaced by this one.
  if (grown->back()->base() == segment->base()) grown->pop_back();
  grown->push_back(std::move(segment));
  segments_.store(std::move(grown), std::memory_order_release);
}

std::shared_ptr<const Segment> SegmentReader::remove_first() {
  const std::lock_guard lock(changing_);
  const auto present = segments();
  TALLY_CHECK(present->size() > 1);
  segments_.store(std::make_shared<const Segments>(present->begin() + 1, present->end()),
                  std::memory_order_release);
  return present->front();
}

}  // namespace tally::store
