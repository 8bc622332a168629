// Producer groups and how they are asked back.

#include "protocol/base/limits.h"
#include "protocol/base/names.h"
#include "protocol/wire/convert.h"

namespace tally::wire {
namespace {

void write_group(const ProducerGroupInfo& from, pb::ProducerGroupInfo& to) {
  to.set_name(from.name);
  to_wire(from.checks, *to.mutable_checks());
}

Result<void> read_group(const pb::ProducerGroupInfo& from, ProducerGroupInfo& to) {
  TALLY_TRY_VOID(check_name("group", from.name()));
  to.name = from.name();
  return from_wire(from.checks(), to.checks);
}

}  // namespace

void to_wire(const CheckSettings& from, pb::CheckSettings& to) {
  to.set_first_check_ms(from.first_check_ms);
  to.set_lifetime_ms(from.lifetime_ms);
  to.set_backoff_max_ms(from.backoff_max_ms);
  to.set_budget(from.budget);
  to.set_on_budget(static_cast<std::uint32_t>(from.on_budget));
}

Result<void> from_wire(const pb::CheckSettings& from, CheckSettings& to) {
  constexpr std::int64_t kMost = limits::kTransactionLifetimeMsMax;
  TALLY_TRY_VOID(check_range("first_check_ms", from.first_check_ms(), 0, kMost));
  TALLY_TRY_VOID(check_range("lifetime_ms", from.lifetime_ms(), 0, kMost));
  TALLY_TRY_VOID(check_range("backoff_max_ms", from.backoff_max_ms(), 0, kMost));
  TALLY_TRY_VOID(check_range("budget", from.budget(), 0, limits::kCheckBudgetMax));
  TALLY_TRY_VOID(check_range("on_budget", from.on_budget(), 0,
                             static_cast<std::uint32_t>(OnBudget::kRollback)));
  to = {.first_check_ms = from.first_check_ms(),
        .lifetime_ms = from.lifetime_ms(),
        .backoff_max_ms = from.backoff_max_ms(),
        .budget = from.budget(),
        .on_budget = static_cast<OnBudget>(from.on_budget())};
  return {};
}

void to_wire(const SetProducerGroupRequest& from, pb::SetProducerGroupRequest& to) {
  write_group(from.group, *to.mutable_group());
}

Result<void> from_wire(const pb::SetProducerGroupRequest& from, SetProducerGroupRequest& to) {
  return read_group(from.group(), to.group);
}

void to_wire(const SetProducerGroupResponse&, pb::SetProducerGroupResponse&) {}
Result<void> from_wire(const pb::SetProducerGroupResponse&, SetProducerGroupResponse&) {
  return {};
}

void to_wire(const ListProducerGroupsRequest& from, pb::ListProducerGroupsRequest& to) {
  to.set_name(from.name);
  to.set_after(from.after);
  to.set_limit(from.limit);
}

Result<void> from_wire(const pb::ListProducerGroupsRequest& from, ListProducerGroupsRequest& to) {
  TALLY_TRY_VOID(check_page("group", from.name(), from.after(), from.limit()));
  to.name = from.name();
  to.after = from.after();
  to.limit = from.limit();
  return {};
}

void to_wire(const ListProducerGroupsResponse& from, pb::ListProducerGroupsResponse& to) {
  for (const ProducerGroupInfo& group : from.groups) write_group(group, *to.add_groups());
  to.set_more(from.more);
}

Result<void> from_wire(const pb::ListProducerGroupsResponse& from, ListProducerGroupsResponse& to) {
  to.groups.reserve(static_cast<std::size_t>(from.groups_size()));
  for (const pb::ProducerGroupInfo& group : from.groups()) {
    TALLY_TRY_VOID(read_group(group, to.groups.emplace_back()));
  }
  to.more = from.more();
  return {};
}

}  // namespace tally::wire
