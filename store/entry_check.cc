#include "store/entry_check.h"

#include <algorithm>

#include "protocol/base/bytes.h"
#include "protocol/base/checksum.h"

namespace tally::store {
namespace {

constexpr std::size_t kBlockTrailerBytes = sizeof(std::uint64_t);

bool all_zero(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char byte) { return byte == 0; });
}

/// Walks the records: collects their heads and checks that they fill the entry exactly.
bool collect_records(std::string_view bytes, const EntryHeader& header, CheckedEntry& out) {
  std::size_t at = kEntryHeadBytes;
  const std::size_t end = header.entry_bytes - header.padding_bytes;
  const std::size_t heads_end = kEntryChecksumOffset + header.heads_bytes;
  for (std::uint32_t i = 0; i < header.record_count; ++i) {
    if (end - at < kRecordHeaderBytes) return false;
    const RecordHeader record = RecordHeader::load(bytes.data() + at);
    if (record.record_bytes() > end - at || record.lsn.value != header.lsn.value + at) return false;
    if (header.rules_version <= kRulesVersion &&
        has_block(record.type) != (record.block_bytes != 0)) {
      return false;
    }
    const std::size_t head_bytes = kRecordHeaderBytes + record.extension_bytes;
    if (head_bytes > heads_end - out.heads.size()) return false;
    out.heads.append(bytes.substr(at, head_bytes));
    out.view.records.push_back(RecordView{.header = record, .extension = {}});
    at += record.record_bytes();
  }
  return at == end && out.heads.size() == heads_end;
}

bool blocks_are_valid(std::string_view bytes, const CheckedEntry& entry) {
  for (const RecordView& record : entry.view.records) {
    if (record.header.block_bytes == 0) continue;
    const std::size_t at = record.header.lsn.value - entry.view.header.lsn.value +
                           kRecordHeaderBytes + record.header.extension_bytes;
    if (!block_is_valid(bytes.substr(at, record.header.block_bytes),
                        record.header.block_checksum)) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::string_view describe(Stop stop) {
  switch (stop) {
    case Stop::kNoRoom:
      return "no room is left for an entry";
    case Stop::kZeros:
      return "no entry stands there";
    case Stop::kBadHead:
      return "the entry header is wrong";
    case Stop::kBadRecords:
      return "the entry checksum is wrong";
    case Stop::kBadPreamble:
      return "the entry's preamble is wrong";
    case Stop::kBadBlock:
      return "a message's checksum is wrong";
    case Stop::kOutOfOrder:
      return "the entry does not continue the log";
    case Stop::kNewerRules:
      return "the entry was written by a newer version";
  }
  return "";
}

std::optional<Stop> check_head(std::string_view bytes, const EntryPlace& place,
                               EntryHeader& header) {
  if (bytes.size() < kEntryHeadBytes || place.limit.value - place.lsn.value < kEntryHeadBytes) {
    return Stop::kNoRoom;
  }
  if (all_zero(bytes.substr(0, kEntryHeadBytes))) return Stop::kZeros;
  const auto loaded = EntryHeader::load(bytes.data() + kPreambleBytes);
  if (!loaded || loaded->lsn != place.lsn || loaded->record_count == 0) return Stop::kBadHead;
  const std::uint64_t least = kEntryHeadBytes + loaded->heads_bytes + loaded->padding_bytes;
  if (loaded->heads_bytes / kRecordHeaderBytes < loaded->record_count ||
      loaded->entry_bytes < least || loaded->entry_bytes % kEntryAlignment != 0 ||
      loaded->entry_bytes > place.limit.value - place.lsn.value) {
    return Stop::kBadHead;
  }
  header = *loaded;
  return std::nullopt;
}

std::optional<Stop> check_entry(std::string_view bytes, const EntryPlace& place,
                                const EntryHeader& header, CheckedEntry& out) {
  if (bytes.size() < header.entry_bytes) return Stop::kBadHead;
  out.preamble = Preamble::load(bytes.data());
  out.view.header = header;
  out.view.records.clear();
  out.heads.assign(bytes.substr(kPreambleBytes, kEntryChecksumOffset));
  if (!collect_records(bytes, header, out)) return Stop::kBadRecords;
  if (checksum(out.heads) != header.checksum) return Stop::kBadRecords;
  if (!all_zero(bytes.substr(header.entry_bytes - header.padding_bytes, header.padding_bytes))) {
    return Stop::kBadRecords;
  }
  std::size_t at = kEntryChecksumOffset;
  for (RecordView& record : out.view.records) {
    record.extension =
        std::string_view(out.heads).substr(at + kRecordHeaderBytes, record.header.extension_bytes);
    at += kRecordHeaderBytes + record.header.extension_bytes;
  }
  if (out.preamble !=
      Preamble::make(place.segment_epoch, place.lsn, out.preamble.durable, header.checksum)) {
    return Stop::kBadPreamble;
  }
  if (place.check_blocks && !blocks_are_valid(bytes, out)) return Stop::kBadBlock;
  if (header.rules_version > kRulesVersion) return Stop::kNewerRules;
  if (out.preamble.durable > place.lsn) return Stop::kOutOfOrder;
  if (place.index && *place.index != header.index) return Stop::kOutOfOrder;
  return std::nullopt;
}

std::optional<Lsn> witness_at(std::string_view head, Lsn lsn, std::uint64_t segment_epoch) {
  if (head.size() < kEntryHeadBytes) return std::nullopt;
  const auto header = EntryHeader::load(head.data() + kPreambleBytes);
  if (!header || header->lsn != lsn) return std::nullopt;
  const Preamble preamble = Preamble::load(head.data());
  if (preamble != Preamble::make(segment_epoch, lsn, preamble.durable, header->checksum)) {
    return std::nullopt;
  }
  return preamble.durable;
}

bool block_is_valid(std::string_view block, std::uint64_t expected) {
  if (block.size() < kBlockTrailerBytes) return false;
  const std::string_view covered = block.substr(0, block.size() - kBlockTrailerBytes);
  return load_le<std::uint64_t>(covered.data() + covered.size()) == expected &&
         checksum(covered) == expected;
}

}  // namespace tally::store
