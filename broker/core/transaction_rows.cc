// Transactions as rows of the index.

#include <cstring>

#include "broker/core/transactions.h"
#include "broker/core/varint.h"

namespace tally::broker {
namespace {

// The first byte of a decided row.
constexpr std::uint8_t kStateBits = 0x07;
constexpr std::uint8_t kUsualTimes = 0x08;  // first check and lifetime are not written
constexpr std::uint8_t kHasReason = 0x80;

// Part of the format, whatever the defaults become.
constexpr std::int64_t kUsualFirstCheckMs = 10'000;
constexpr std::int64_t kUsualLifetimeMs = 24 * 3'600'000LL;

void put_half(std::string& row, const Half& half) {
  put_varint(row, half.message.lsn.value);
  put_varint(row, half.message.block_bytes);
  put_varint(row, half.message.extension_bytes);
  put_varint(row, half.topic.value);
  put_varint(row, half.number);
  ByteWriter out(row);
  out.put(half.message.tag_hash);
  out.put(half.route_hash);
  out.put(half.fingerprint);
}

Half get_half(ByteReader& in) {
  Half half;
  half.message.lsn = Lsn(get_varint(in));
  half.message.block_bytes = get_varint32(in);
  half.message.extension_bytes = static_cast<std::uint16_t>(get_varint(in));
  half.topic = TopicUid(get_varint32(in));
  half.number = get_varint32(in);
  half.message.tag_hash = in.get<std::uint32_t>();
  half.route_hash = in.get<std::uint32_t>();
  half.fingerprint = in.get<std::uint64_t>();
  return half;
}

}  // namespace

std::string encode_open(const Transaction& transaction) {
  std::string row;
  ByteWriter out(row);
  out.put(static_cast<std::uint8_t>(transaction.state));
  put_varint(row, transaction.lsn.value);
  put_varint(row, static_cast<std::uint64_t>(transaction.time_ms));
  put_signed_varint(row, transaction.first_check_ms);
  put_signed_varint(row, transaction.lifetime_ms);
  put_varint(row, transaction.checks);
  out.put_bytes(transaction.store.view());
  out.put_string8(transaction.group());
  out.put_string8(transaction.client());
  out.put_string16(transaction.reason);
  put_varint(row, transaction.halves.size());
  for (const Half& half : transaction.halves) put_half(row, half);
  put_varint(row, transaction.check_records.size());
  for (const CheckRecord& record : transaction.check_records) {
    put_varint(row, static_cast<std::uint64_t>(record.delivered_at_ms));
    out.put_string8(record.client);
  }
  return row;
}

bool decode_open(std::string_view id, std::string_view row, Transaction& to) {
  ByteReader in(row);
  to.state = TxState(in.get<std::uint8_t>());
  to.lsn = Lsn(get_varint(in));
  to.time_ms = static_cast<std::int64_t>(get_varint(in));
  to.first_check_ms = get_signed_varint(in);
  to.lifetime_ms = get_signed_varint(in);
  to.checks = get_varint32(in);
  const std::string_view store = in.get_bytes(to.store.bytes.size());
  if (!in.ok()) return false;
  std::memcpy(to.store.bytes.data(), store.data(), store.size());
  const std::string_view group = in.get_string8();
  to.set_names(id, group, in.get_string8());
  to.reason = in.get_string16();
  for (std::uint64_t left = get_varint(in); left > 0 && in.ok(); --left) {
    to.halves.push_back(get_half(in));
  }
  for (std::uint64_t left = get_varint(in); left > 0 && in.ok(); --left) {
    const auto at_ms = static_cast<std::int64_t>(get_varint(in));
    to.check_records.push_back({.delivered_at_ms = at_ms, .client = std::string(in.get_string8())});
  }
  return in.done() && is_open(to.state) && !to.halves.empty();
}

std::string encode_decided(const Transaction& transaction) {
  std::string row;
  row.reserve(48);
  const bool usual = transaction.first_check_ms == kUsualFirstCheckMs &&
                     transaction.lifetime_ms == kUsualLifetimeMs;
  const auto state = static_cast<unsigned>(transaction.state) | (usual ? kUsualTimes : 0u) |
                     static_cast<unsigned>(transaction.decided_by) << 4 |
                     (transaction.reason.empty() ? 0u : kHasReason);
  ByteWriter out(row);
  out.put(static_cast<std::uint8_t>(state));
  put_varint(row, transaction.decided_lsn.value);
  put_varint(row, transaction.decided_lsn.value - transaction.lsn.value);
  put_varint(row, static_cast<std::uint64_t>(transaction.time_ms));
  put_signed_varint(row, transaction.decided_at_ms - transaction.time_ms);
  put_varint(row, transaction.checks);
  if (!usual) {
    put_signed_varint(row, transaction.first_check_ms);
    put_signed_varint(row, transaction.lifetime_ms);
  }
  out.put_string8(transaction.group());
  if (!transaction.reason.empty()) out.put_string16(transaction.reason);
  for (const Half& half : transaction.halves) out.put(half.fingerprint);
  return row;
}

bool decode_decided(std::string_view id, std::string_view row, Transaction& to) {
  ByteReader in(row);
  const auto first = in.get<std::uint8_t>();
  to.state = TxState(first & kStateBits);
  to.decided_by = Decider(first >> 4 & 0x07);
  to.decided_lsn = Lsn(get_varint(in));
  to.lsn = Lsn(to.decided_lsn.value - get_varint(in));
  to.time_ms = static_cast<std::int64_t>(get_varint(in));
  to.decided_at_ms = to.time_ms + get_signed_varint(in);
  to.checks = get_varint32(in);
  const bool usual = (first & kUsualTimes) != 0;
  to.first_check_ms = usual ? kUsualFirstCheckMs : get_signed_varint(in);
  to.lifetime_ms = usual ? kUsualLifetimeMs : get_signed_varint(in);
  to.set_names(id, in.get_string8(), {});
  if ((first & kHasReason) != 0) to.reason = in.get_string16();
  while (in.ok() && in.left() > 0) {
    Half half;
    half.fingerprint = in.get<std::uint64_t>();
    to.halves.push_back(half);
  }
  return in.done() && is_decided(to.state);
}

}  // namespace tally::broker
