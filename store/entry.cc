#include "store/entry.h"

#include <limits>

#include "protocol/base/bytes.h"
#include "protocol/base/check.h"
#include "protocol/base/checksum.h"

namespace tally::store {
namespace {

constexpr std::uint64_t kPagePaddedBytes = 16u << 10;  // longer entries end on a page

std::uint32_t padding_for(Lsn lsn, std::uint64_t bytes) {
  const std::uint64_t unit = bytes > kPagePaddedBytes ? kPageBytes : kEntryAlignment;
  const std::uint64_t past = (lsn.value + bytes) % unit;
  return static_cast<std::uint32_t>(past == 0 ? 0 : unit - past);
}

}  // namespace

void EntryHeader::store(char* to) const {
  store_le(to, kEntryMagic);
  store_le(to + 4, rules_version);
  store_le(to + 6, std::uint16_t{0});
  store_le(to + 8, index.value);
  store_le(to + 16, term.value);
  store_le(to + 24, lsn.value);
  store_le(to + 32, time_ms);
  store_le(to + 40, entry_bytes);
  store_le(to + 44, record_count);
  store_le(to + 48, heads_bytes);
  store_le(to + 52, padding_bytes);
  store_le(to + kEntryChecksumOffset, checksum);
}

std::optional<EntryHeader> EntryHeader::load(const char* from) {
  if (load_le<std::uint32_t>(from) != kEntryMagic) return std::nullopt;
  if (load_le<std::uint16_t>(from + 6) != 0) return std::nullopt;
  EntryHeader header;
  header.rules_version = load_le<std::uint16_t>(from + 4);
  header.index = EntryIndex(load_le<std::uint64_t>(from + 8));
  header.term = Term(load_le<std::uint64_t>(from + 16));
  header.lsn = Lsn(load_le<std::uint64_t>(from + 24));
  header.time_ms = load_le<std::int64_t>(from + 32);
  header.entry_bytes = load_le<std::uint32_t>(from + 40);
  header.record_count = load_le<std::uint32_t>(from + 44);
  header.heads_bytes = load_le<std::uint32_t>(from + 48);
  header.padding_bytes = load_le<std::uint32_t>(from + 52);
  header.checksum = load_le<std::uint64_t>(from + kEntryChecksumOffset);
  return header;
}

Preamble Preamble::make(std::uint64_t segment_epoch, Lsn entry, Lsn durable,
                        std::uint64_t entry_checksum) {
  char covered[32];
  store_le(covered, segment_epoch);
  store_le(covered + 8, entry.value);
  store_le(covered + 16, durable.value);
  store_le(covered + 24, entry_checksum);
  return Preamble{.durable = durable,
                  .check = tally::checksum(std::string_view(covered, sizeof covered))};
}

void Preamble::store(char* to) const {
  store_le(to, durable.value);
  store_le(to + 8, check);
}

Preamble Preamble::load(const char* from) {
  return Preamble{.durable = Lsn(load_le<std::uint64_t>(from)),
                  .check = load_le<std::uint64_t>(from + 8)};
}

void Entry::clear() {
  header_ = {};
  record_count_ = 0;
  block_bytes_ = 0;
  heads_.clear();
  pieces_.clear();
  keepalives_.clear();
  view_.records.clear();
}

void Entry::begin(EntryIndex index, Term term, Lsn lsn) {
  clear();
  header_.index = index;
  header_.term = term;
  header_.lsn = lsn;
  heads_.assign(kEntryChecksumOffset, '\0');
}

std::uint64_t Entry::bytes() const { return kEntryHeadBytes + heads().size() + block_bytes_; }

Lsn Entry::add(RecordType type, std::uint8_t flags, TopicUid topic, std::string_view extension,
               std::string_view block, std::uint64_t block_checksum) {
  TALLY_CHECK(header_.entry_bytes == 0);  // not sealed
  TALLY_CHECK(extension.size() <= std::numeric_limits<std::uint16_t>::max());
  TALLY_CHECK(has_block(type) != block.empty());
  RecordHeader record;
  record.type = type;
  record.flags = flags;
  record.extension_bytes = static_cast<std::uint16_t>(extension.size());
  record.block_bytes = static_cast<std::uint32_t>(block.size());
  record.lsn = Lsn(header_.lsn.value + bytes());
  record.topic = topic;
  record.block_checksum = block_checksum;

  const std::size_t at = heads_.size();
  char raw[kRecordHeaderBytes];
  record.store(raw);
  heads_.append(raw, sizeof raw).append(extension);
  pieces_.push_back(Piece{.heads_offset = at - kEntryChecksumOffset,
                          .heads_bytes = kRecordHeaderBytes + extension.size(),
                          .block = block});
  block_bytes_ += block.size();
  ++record_count_;
  return record.lsn;
}

void Entry::keep(Keepalive keepalive) {
  if (keepalives_.empty() || keepalives_.back() != keepalive) {
    keepalives_.push_back(std::move(keepalive));
  }
}

void Entry::seal(std::int64_t time_ms) {
  TALLY_CHECK(!empty() && header_.entry_bytes == 0);
  const std::uint64_t unpadded = bytes();
  header_.time_ms = time_ms;
  header_.record_count = record_count_;
  header_.heads_bytes = static_cast<std::uint32_t>(heads().size());
  header_.padding_bytes = padding_for(header_.lsn, unpadded);
  TALLY_CHECK(unpadded + header_.padding_bytes <= std::numeric_limits<std::uint32_t>::max());
  header_.entry_bytes = static_cast<std::uint32_t>(unpadded + header_.padding_bytes);

  char raw[kEntryHeaderBytes];
  header_.store(raw);
  heads_.replace(0, kEntryChecksumOffset, raw, kEntryChecksumOffset);
  header_.checksum = tally::checksum(heads_);

  view_.header = header_;
  for (const Piece& piece : pieces_) {
    const std::string_view head = heads().substr(piece.heads_offset, piece.heads_bytes);
    view_.records.push_back(RecordView{.header = RecordHeader::load(head.data()),
                                       .extension = head.substr(kRecordHeaderBytes)});
  }
}

}  // namespace tally::store
