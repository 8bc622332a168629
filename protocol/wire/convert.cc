// Session, errors, and the parts and rules that several requests share.

#include "protocol/wire/convert.h"

#include "protocol/base/limits.h"
#include "protocol/base/names.h"

namespace tally::wire {

// --- rules ---

Result<void> check_range(std::string_view what, std::int64_t value, std::int64_t min,
                         std::int64_t max) {
  if (value >= min && value <= max) return {};
  return Error{ErrorCode::kOutOfRange, std::string{what} + " is " + std::to_string(value) +
                                           ", not within " + std::to_string(min) + " and " +
                                           std::to_string(max)};
}

Result<void> check_length(std::string_view what, std::string_view text, std::size_t max) {
  if (text.size() <= max) return {};
  return Error{ErrorCode::kFieldTooLong, std::string{what} + " has " + std::to_string(text.size()) +
                                             " bytes, at most " + std::to_string(max) +
                                             " are allowed"};
}

Result<void> check_lease(std::int64_t lease_ms) {
  if (lease_ms == 0) return {};
  return check_range("lease_ms", lease_ms, limits::kLeaseMsMin, limits::kLeaseMsMax);
}

Result<void> check_page(std::string_view what, std::string_view name, std::string_view after,
                        std::uint32_t limit) {
  if (!name.empty()) TALLY_TRY_VOID(check_name(what, name));
  if (!after.empty()) TALLY_TRY_VOID(check_name(what, after));
  return check_range("limit", limit, 0, limits::kListPageMax);
}

// --- parts ---

namespace {

Error unknown_number(const char* what, std::uint32_t number) {
  return {ErrorCode::kInvalidArgument,
          std::string{what} + " has no value " + std::to_string(number)};
}

}  // namespace

Result<void> read_state(std::uint32_t number, TransactionState& to) {
  if (number < 1 || number > 4) return unknown_number("the state of a transaction", number);
  to = static_cast<TransactionState>(number);
  return {};
}

Result<void> read_decider(std::uint32_t number, Decider& to) {
  if (number > 4) return unknown_number("the decider of a transaction", number);
  to = static_cast<Decider>(number);
  return {};
}

Result<void> read_decision(std::uint32_t number, Decision& to) {
  if (number < 1 || number > 3) return unknown_number("the decision", number);
  to = static_cast<Decision>(number);
  return {};
}

void to_wire(const Winner& from, pb::Winner& to) {
  to.set_state(static_cast<std::uint32_t>(from.state));
  to.set_decided_by(static_cast<std::uint32_t>(from.decided_by));
  to.set_decided_at_ms(from.decided_at_ms);
}

Result<void> from_wire(const pb::Winner& from, Winner& to) {
  TALLY_TRY_VOID(read_state(from.state(), to.state));
  TALLY_TRY_VOID(read_decider(from.decided_by(), to.decided_by));
  to.decided_at_ms = from.decided_at_ms();
  return {};
}

void to_wire(const Handle& from, pb::Handle& to) {
  write_id(from.log, *to.mutable_log());
  to.set_lsn(from.lsn.value);
  to.set_time_ms(from.time_ms);
}

Result<void> from_wire(const pb::Handle& from, Handle& to) {
  to.lsn = Lsn{from.lsn()};
  to.time_ms = from.time_ms();
  return read_id(from.log(), to.log);
}

// --- errors ---

void to_wire(const Error& from, pb::Error& to) {
  to.set_code(static_cast<std::uint32_t>(from.code));
  to.set_message(from.message);
  if (from.winner) to_wire(*from.winner, *to.mutable_winner());
}

Result<void> from_wire(const pb::Error& from, Error& to) {
  to.code = error_code_from_number(from.code());
  to.message = from.message();
  if (to.code == ErrorCode::kOk) return Error{ErrorCode::kInvalidArgument, "an error without code"};
  if (static_cast<std::uint32_t>(to.code) != from.code()) {
    to.message =
        "error " + std::to_string(from.code()) + ", unknown to this version: " + to.message;
  }
  if (from.has_winner()) TALLY_TRY_VOID(from_wire(from.winner(), to.winner.emplace()));
  return {};
}

// --- session ---

void to_wire(const HelloRequest& from, pb::HelloRequest& to) {
  to.set_version_min(from.version_min);
  to.set_version_max(from.version_max);
  to.set_client(from.client);
  to.set_software(from.software);
  to.set_window(from.window);
}

Result<void> from_wire(const pb::HelloRequest& from, HelloRequest& to) {
  TALLY_TRY_VOID(check_range("version_min", from.version_min(), 1, UINT32_MAX));
  TALLY_TRY_VOID(check_range("version_max", from.version_max(), from.version_min(), UINT32_MAX));
  TALLY_TRY_VOID(check_length("the client's name", from.client(), limits::kFieldBytesMax));
  TALLY_TRY_VOID(check_length("the software's name", from.software(), limits::kFieldBytesMax));
  to.version_min = from.version_min();
  to.version_max = from.version_max();
  to.client = from.client();
  to.software = from.software();
  to.window = from.window();
  return {};
}

void to_wire(const HelloResponse& from, pb::HelloResponse& to) {
  to.set_version(from.version);
  to.set_session(from.session.value);
  write_id(from.log, *to.mutable_log());
  to.set_shard(from.shard.value);
  to.set_term(from.term.value);
  to.set_window(from.window);
  to.set_frame_bytes_max(from.frame_bytes_max);
  to.set_broker_time_ms(from.broker_time_ms);
  to.set_ping_ms(from.ping_ms);
  to.set_first_check_ms(from.first_check_ms);
  to.set_transaction_lifetime_ms(from.transaction_lifetime_ms);
}

Result<void> from_wire(const pb::HelloResponse& from, HelloResponse& to) {
  to.version = from.version();
  to.session = SessionId{from.session()};
  to.shard = ShardId{from.shard()};
  to.term = Term{from.term()};
  to.window = from.window();
  to.frame_bytes_max = from.frame_bytes_max();
  to.broker_time_ms = from.broker_time_ms();
  to.ping_ms = from.ping_ms();
  to.first_check_ms = from.first_check_ms();
  to.transaction_lifetime_ms = from.transaction_lifetime_ms();
  return read_id(from.log(), to.log);
}

void to_wire(const PingRequest&, pb::PingRequest&) {}
Result<void> from_wire(const pb::PingRequest&, PingRequest&) { return {}; }

void to_wire(const PingResponse& from, pb::PingResponse& to) {
  to.set_broker_time_ms(from.broker_time_ms);
}

Result<void> from_wire(const pb::PingResponse& from, PingResponse& to) {
  to.broker_time_ms = from.broker_time_ms();
  return {};
}

void to_wire(const StatsRequest&, pb::StatsRequest&) {}
Result<void> from_wire(const pb::StatsRequest&, StatsRequest&) { return {}; }

void to_wire(const StatsResponse& from, pb::StatsResponse& to) {
  for (const StatValue& value : from.values) {
    pb::StatValue* added = to.add_values();
    added->set_name(value.name);
    added->set_value(value.value);
  }
}

Result<void> from_wire(const pb::StatsResponse& from, StatsResponse& to) {
  to.values.reserve(static_cast<std::size_t>(from.values_size()));
  for (const pb::StatValue& value : from.values())
    to.values.push_back({value.name(), value.value()});
  return {};
}

}  // namespace tally::wire
