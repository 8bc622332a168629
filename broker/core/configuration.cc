#include "broker/core/configuration.h"

#include "broker/core/index_keys.h"
#include "broker/core/varint.h"
#include "protocol/base/bytes.h"

namespace tally::broker {
namespace {

constexpr std::uint8_t kIndexFormat = 3;  // of the rows; another one means rebuild

store::ConfigExtension config_of(const CoreOptions& options) {
  return {.first_check_ms = options.first_check_ms,
          .check_backoff_max_ms = options.check_backoff_max_ms,
          .check_budget = options.check_budget,
          .transaction_lifetime_ms = options.transaction_lifetime_ms,
          .attempts_max = options.attempts_max,
          .retry_backoff_ms = options.retry_backoff_ms,
          .retry_backoff_max_ms = options.retry_backoff_max_ms};
}

}  // namespace

Result<void> Configuration::restore(const store::IndexView& index) {
  TALLY_TRY(auto row, index.get(keys::prefix(context_.shard, keys::Kind::kConfig)));
  const std::string text = row.value_or(std::string());
  ByteReader in(text);
  if (in.get<std::uint8_t>() != kIndexFormat) {
    return Error(ErrorCode::kDataDamaged, "the index is of another format");
  }
  logged_ = in.get<std::uint8_t>() != 0;
  context_.horizon = Lsn(get_varint(in));
  context_.horizon_ms = static_cast<std::int64_t>(get_varint(in));
  clock_behind_ms_ = get_signed_varint(in);
  if (!logged_) return {};
  const store::RecordHeader header{.type = store::RecordType::kConfig};
  const auto config = store::decode<store::ConfigExtension>(header, in.get_bytes(in.left()));
  if (!config) return Error(ErrorCode::kDataDamaged, "the index has a damaged configuration");
  context_.config = *config;
  return {};
}

void Configuration::collect() {
  if (!dirty_ && !context_.checkpoint.first()) return;
  std::string row;
  ByteWriter(row).put(kIndexFormat);
  ByteWriter(row).put(static_cast<std::uint8_t>(logged_));
  put_varint(row, context_.horizon.value);
  put_varint(row, static_cast<std::uint64_t>(context_.horizon_ms));
  put_signed_varint(row, clock_behind_ms_);
  if (logged_) encode(context_.config, row);
  context_.checkpoint.put(keys::prefix(context_.shard, keys::Kind::kConfig), std::move(row));
  dirty_ = false;
}

bool Configuration::apply(const Applying& applying) {
  const auto config =
      store::decode<store::ConfigExtension>(applying.record.header, applying.record.extension);
  if (!config) return false;
  context_.config = *config;
  logged_ = dirty_ = true;
  return true;
}

void Configuration::applied(const store::EntryHeader& entry) {
  if (context_.horizon_ms != 0) return;
  context_.horizon_ms = entry.time_ms;
  dirty_ = true;
}

void Configuration::raise_horizon(Lsn horizon, std::int64_t time_ms) {
  if (horizon <= context_.horizon) return;
  context_.horizon = horizon;
  if (time_ms != 0) context_.horizon_ms = time_ms;
  dirty_ = true;
}

void Configuration::propose() {
  const auto config = config_of(context_.options);
  if (!context_.serving || proposed_ || (logged_ && context_.config == config)) return;
  if (context_.in_reserve() && logged_) return;
  proposed_ = true;
  context_.proposals.propose(Waiter{}, context_.now_ms(), TopicUid{}, 0, config);
}

bool Configuration::apply_clock(const Applying& applying) {
  const auto clock =
      store::decode<store::ClockExtension>(applying.record.header, applying.record.extension);
  if (!clock) return false;
  clock_behind_ms_ = clock->behind_ms;
  dirty_ = true;
  return true;
}

}  // namespace tally::broker
