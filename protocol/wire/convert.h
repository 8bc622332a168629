#pragma once
// Between the plain values of requests.h and the protobuf messages of tally.proto: inside of wire
// only. Each line of requests.inc needs its four functions here, or wire does not link.
//
// to_wire fills a cleared message. from_wire fills a value that is fresh, and checks every rule
// that needs no state of the broker; after an error the value is not to be used.

#include <concepts>
#include <string>
#include <string_view>

#include "protocol/base/requests.h"
#include "protocol/wire/tally.pb.h"

namespace tally::wire {

#define TALLY_REQUEST(Name, kind, sender, lane)                             \
  void to_wire(const Name##Request& from, pb::Name##Request& to);           \
  Result<void> from_wire(const pb::Name##Request& from, Name##Request& to); \
  void to_wire(const Name##Response& from, pb::Name##Response& to);         \
  Result<void> from_wire(const pb::Name##Response& from, Name##Response& to);
#include "protocol/base/requests.inc"
#undef TALLY_REQUEST

void to_wire(const Error& from, pb::Error& to);
Result<void> from_wire(const pb::Error& from, Error& to);

// --- parts of several requests ---

void to_wire(const Winner& from, pb::Winner& to);
Result<void> from_wire(const pb::Winner& from, Winner& to);
void to_wire(const CheckSettings& from, pb::CheckSettings& to);
Result<void> from_wire(const pb::CheckSettings& from, CheckSettings& to);
void to_wire(const Handle& from, pb::Handle& to);
Result<void> from_wire(const pb::Handle& from, Handle& to);

Result<void> read_state(std::uint32_t number, TransactionState& to);
Result<void> read_decider(std::uint32_t number, Decider& to);
Result<void> read_decision(std::uint32_t number, Decision& to);

/// Empty bytes are the zero id.
template <typename Tag>
void write_id(const Id128<Tag>& from, std::string& to) {
  if (from.is_zero()) {
    to.clear();
  } else {
    to.assign(from.view());
  }
}
template <typename Tag>
Result<void> read_id(std::string_view from, Id128<Tag>& to) {
  if (from.empty()) {
    to = {};
    return {};
  }
  if (from.size() != to.bytes.size()) {
    return Error{ErrorCode::kMalformedRequest,
                 "an id has " + std::to_string(from.size()) + " bytes, not 16"};
  }
  from.copy(reinterpret_cast<char*>(to.bytes.data()), from.size());
  return {};
}

// --- rules ---

/// OUT_OF_RANGE unless min <= value <= max.
Result<void> check_range(std::string_view what, std::int64_t value, std::int64_t min,
                         std::int64_t max);
/// FIELD_TOO_LONG above `max` bytes.
Result<void> check_length(std::string_view what, std::string_view text, std::size_t max);
/// A lease length as asked for: 0 for the default, or within its limits.
Result<void> check_lease(std::int64_t lease_ms);
/// The three fields of a page: a name or none, a name to go on after or none, a limit.
Result<void> check_page(std::string_view what, std::string_view name, std::string_view after,
                        std::uint32_t limit);

}  // namespace tally::wire
