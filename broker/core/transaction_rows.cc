// Transactions as rows of the index.

#include <cstring>

#include "broker/core/transactions.h"
#include "broker/core/varint.h"

namespace tally::broker {
namespace {

// The first byte of a decided row, and its flags.
constexpr unsigned kStateBits = 0x07, kDeciderShift = 4, kDeciderBits = 0x07;
constexpr unsigned kUsualTimes = 0x08;  // first check and lifetime are not written
constexpr unsigned kHasHistory = 0x80;

// Part of the format, whatever the defaults become.
constexpr std::int64_t kUsualFirstCheckMs = 10'000;
constexpr std::int64_t kUsualLifetimeMs = 24 * 3'600'000LL;

void put_history(std::string& row, const History& history) {
  ByteWriter out(row);
  out.put_string16(history.reason);
  out.put_string8(history.decided_by);
  put_varint(row, static_cast<std::uint64_t>(history.resumed_at_ms));
  put_varint(row, history.checks.size());
  for (const CheckRecord& check : history.checks) {
    put_varint(row, static_cast<std::uint64_t>(check.delivered_at_ms));
    out.put_string8(check.client);
    put_varint(row, static_cast<std::uint64_t>(check.answered_at_ms));
    if (check.answered_at_ms == 0) continue;
    out.put(static_cast<std::uint8_t>(check.answer));
    out.put_string16(check.reason);
  }
}

std::unique_ptr<History> get_history(ByteReader& in) {
  auto history = std::make_unique<History>();
  history->reason = in.get_string16();
  history->decided_by = in.get_string8();
  history->resumed_at_ms = static_cast<std::int64_t>(get_varint(in));
  for (std::uint64_t left = get_varint(in); left > 0 && in.ok(); --left) {
    CheckRecord& check = history->checks.emplace_back();
    check.delivered_at_ms = static_cast<std::int64_t>(get_varint(in));
    check.client = in.get_string8();
    check.answered_at_ms = static_cast<std::int64_t>(get_varint(in));
    if (check.answered_at_ms == 0) continue;
    check.answer = Decision(in.get<std::uint8_t>());
    check.reason = in.get_string16();
  }
  return history;
}

/// With nothing to tell there is none.
bool has_history(const Transaction& transaction) {
  return transaction.history != nullptr && *transaction.history != History{};
}

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
  out.put_bytes(transaction.store().view());
  out.put_string8(transaction.group());
  out.put_string8(transaction.client());
  put_varint(row, transaction.halves.size());
  for (const Half& half : transaction.halves) put_half(row, half);
  if (has_history(transaction)) put_history(row, *transaction.history);
  return row;
}

bool decode_open(std::string_view id, std::string_view row, Origins& origins, Transaction& to) {
  ByteReader in(row);
  to.state = TxState(in.get<std::uint8_t>());
  to.lsn = Lsn(get_varint(in));
  to.time_ms = static_cast<std::int64_t>(get_varint(in));
  to.first_check_ms = as_delay(get_signed_varint(in));
  to.lifetime_ms = as_delay(get_signed_varint(in));
  to.checks = get_varint32(in);
  Origin origin;
  const std::string_view store = in.get_bytes(origin.store.bytes.size());
  if (!in.ok()) return false;
  std::memcpy(origin.store.bytes.data(), store.data(), store.size());
  origin.group = in.get_string8();
  origin.client = in.get_string8();
  to.id_text.set(id);
  to.origin = origins.share(origin);
  for (std::uint64_t left = get_varint(in); left > 0 && in.ok(); --left) {
    to.halves.push_back(get_half(in));
  }
  if (in.left() > 0) to.history = get_history(in);
  return in.done() && is_open(to.state) && !to.halves.empty();
}

std::string encode_decided(const Transaction& transaction) {
  std::string row;
  row.reserve(48);
  const bool usual = transaction.first_check_ms == kUsualFirstCheckMs &&
                     transaction.lifetime_ms == kUsualLifetimeMs;
  const bool has_more = has_history(transaction);
  const unsigned state = static_cast<unsigned>(transaction.state) | (usual ? kUsualTimes : 0u) |
                         static_cast<unsigned>(transaction.decided_by) << kDeciderShift |
                         (has_more ? kHasHistory : 0u);
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
  out.put_string8(transaction.client());
  if (has_more) put_history(row, *transaction.history);
  for (const Half& half : transaction.halves) {
    put_varint(row, half.topic.value);
    out.put(half.fingerprint);
  }
  return row;
}

bool decode_decided(std::string_view id, std::string_view row, Origins& origins, Transaction& to) {
  ByteReader in(row);
  const auto first = in.get<std::uint8_t>();
  to.state = TxState(first & kStateBits);
  to.decided_by = Decider(first >> kDeciderShift & kDeciderBits);
  to.decided_lsn = Lsn(get_varint(in));
  to.lsn = Lsn(to.decided_lsn.value - get_varint(in));
  to.time_ms = static_cast<std::int64_t>(get_varint(in));
  to.decided_at_ms = to.time_ms + get_signed_varint(in);
  to.checks = get_varint32(in);
  const bool usual = (first & kUsualTimes) != 0;
  to.first_check_ms = as_delay(usual ? kUsualFirstCheckMs : get_signed_varint(in));
  to.lifetime_ms = as_delay(usual ? kUsualLifetimeMs : get_signed_varint(in));
  Origin origin;
  origin.group = in.get_string8();
  origin.client = in.get_string8();
  to.id_text.set(id);
  to.origin = origins.share(origin);
  if ((first & kHasHistory) != 0) to.history = get_history(in);
  while (in.ok() && in.left() > 0) {
    Half half;
    half.topic = TopicUid(get_varint32(in));
    half.fingerprint = in.get<std::uint64_t>();
    to.halves.push_back(half);
  }
  return in.done() && is_decided(to.state);
}

}  // namespace tally::broker
