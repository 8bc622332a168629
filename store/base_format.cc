#include "store/base_format.h"

#include <algorithm>

#include "protocol/base/bytes.h"
#include "protocol/base/checksum.h"

namespace tally::store {
namespace {

constexpr std::string_view kMagic = "TALLYBAS";
constexpr std::uint32_t kFormat = 1;
constexpr std::uint32_t kBlockMagic = 0x4b4c4254;    // "TBLK"
constexpr std::uint32_t kTrailerMagic = 0x444e4254;  // "TBND"
constexpr std::size_t kHeaderChecksumOffset = kBaseHeaderBytes - sizeof(std::uint64_t);
constexpr std::size_t kTrailerChecksumOffset = kBaseTrailerBytes - sizeof(std::uint64_t);

Error damaged(const std::string& path, std::string_view what) {
  return Error(ErrorCode::kDataDamaged, path + ": " + std::string(what));
}

std::uint64_t trailer_checksum(std::string_view trailer, Lsn base) {
  std::string covered;
  ByteWriter out(covered);
  out.put(base.value);
  out.put_bytes(trailer.substr(0, kTrailerChecksumOffset));
  return checksum(covered);
}

}  // namespace

std::string encode_base_header(ShardId shard, const ReplayFrom& position) {
  std::string raw;
  raw.reserve(kBaseHeaderBytes);
  ByteWriter out(raw);
  out.put_bytes(kMagic);
  out.put(kFormat);
  out.put(shard.value);
  out.put_bytes(position.log.view());
  out.put(position.applied.value);
  out.put(position.next.value);
  out.put(position.entry_checksum);
  out.put(position.time_ms);
  raw.resize(kHeaderChecksumOffset, '\0');
  out.put(checksum(raw));
  return raw;
}

Result<BaseInfo> decode_base_header(std::string_view bytes, const std::string& path) {
  ByteReader in(bytes);
  if (bytes.size() < kBaseHeaderBytes || in.get_bytes(kMagic.size()) != kMagic) {
    return damaged(path, "does not begin as a base");
  }
  // Before the checksum: another version may have its own.
  if (const auto version = in.get<std::uint32_t>(); version != kFormat) {
    return Error(ErrorCode::kDataFormat, path + ": has format version " + std::to_string(version) +
                                             "; this program knows version " +
                                             std::to_string(kFormat));
  }
  if (checksum(bytes.substr(0, kHeaderChecksumOffset)) !=
      load_le<std::uint64_t>(bytes.data() + kHeaderChecksumOffset)) {
    return damaged(path, "the base's header does not match its checksum");
  }
  BaseInfo info;
  info.shard = ShardId(in.get<std::uint32_t>());
  const std::string_view id = in.get_bytes(info.position.log.bytes.size());
  std::copy(id.begin(), id.end(), info.position.log.bytes.begin());
  info.position.applied = EntryIndex(in.get<std::uint64_t>());
  info.position.next = Lsn(in.get<std::uint64_t>());
  info.position.entry_checksum = in.get<std::uint64_t>();
  info.position.time_ms = in.get<std::int64_t>();
  return info;
}

std::string encode(const BaseTrailer& trailer, Lsn base) {
  std::string raw;
  ByteWriter out(raw);
  out.put(kTrailerMagic);
  out.put(std::uint32_t{0});
  out.put(trailer.blocks);
  out.put(trailer.rows);
  out.put(trailer.oldest_needed.value);
  out.put(trailer.file_bytes);
  out.put(trailer_checksum(raw, base));
  return raw;
}

Result<BaseTrailer> decode_base_trailer(std::string_view bytes, Lsn base, const std::string& path) {
  ByteReader in(bytes);
  if (bytes.size() != kBaseTrailerBytes || in.get<std::uint32_t>() != kTrailerMagic ||
      in.get<std::uint32_t>() != 0) {
    return damaged(path, "does not end as a base");
  }
  BaseTrailer trailer;
  trailer.blocks = in.get<std::uint64_t>();
  trailer.rows = in.get<std::uint64_t>();
  trailer.oldest_needed = Lsn(in.get<std::uint64_t>());
  trailer.file_bytes = in.get<std::uint64_t>();
  if (in.get<std::uint64_t>() != trailer_checksum(bytes, base) || trailer.oldest_needed > base) {
    return damaged(path, "the base's end does not match its checksum");
  }
  return trailer;
}

BaseBlock::BaseBlock(Lsn base) {
  ByteWriter(bytes_).put(base.value);
  clear();
}

void BaseBlock::clear() {
  bytes_.resize(kRowsOffset);
  rows_ = 0;
}

void BaseBlock::add(std::string_view key, std::string_view value) {
  ByteWriter out(bytes_);
  out.put(static_cast<std::uint16_t>(key.size()));
  out.put(static_cast<std::uint32_t>(value.size()));
  out.put_bytes(key);
  out.put_bytes(value);
  ++rows_;
}

std::string_view BaseBlock::seal(std::uint64_t number) {
  head_.clear();
  ByteWriter out(head_);
  out.put(kBlockMagic);
  out.put(static_cast<std::uint32_t>(rows_bytes()));
  out.put(rows_);
  out.put(std::uint32_t{0});
  out.put(number);
  head_.copy(bytes_.data() + kLsnBytes, kChecksumOffset);
  out.put(checksum(bytes_));
  return head_;
}

bool BaseBlock::load_head(std::string_view head, std::uint64_t number) {
  ByteReader in(head);
  const auto magic = in.get<std::uint32_t>();
  const auto row_bytes = in.get<std::uint32_t>();
  rows_ = in.get<std::uint32_t>();
  const auto zero = in.get<std::uint32_t>();
  const auto stands = in.get<std::uint64_t>();
  checksum_ = in.get<std::uint64_t>();
  if (!in.done() || magic != kBlockMagic || zero != 0 || stands != number || rows_ == 0) {
    return false;
  }
  bytes_.resize(kRowsOffset + row_bytes);
  head.copy(bytes_.data() + kLsnBytes, kChecksumOffset);
  return true;
}

bool BaseBlock::matches() const { return checksum(bytes_) == checksum_; }

}  // namespace tally::store
