#include "broker/core/producer_groups.h"

#include <algorithm>

#include "broker/core/index_keys.h"
#include "broker/core/varint.h"

namespace tally::broker {

void put_checks(std::string& row, const CheckSettings& checks) {
  put_varint(row, static_cast<std::uint64_t>(checks.first_check_ms));
  put_varint(row, static_cast<std::uint64_t>(checks.lifetime_ms));
  put_varint(row, static_cast<std::uint64_t>(checks.backoff_max_ms));
  put_varint(row, checks.budget);
  put_varint(row, static_cast<std::uint64_t>(checks.on_budget));
}

CheckSettings get_checks(ByteReader& in) {
  CheckSettings checks;
  checks.first_check_ms = static_cast<std::int64_t>(get_varint(in));
  checks.lifetime_ms = static_cast<std::int64_t>(get_varint(in));
  checks.backoff_max_ms = static_cast<std::int64_t>(get_varint(in));
  checks.budget = get_varint32(in);
  checks.on_budget = OnBudget(static_cast<std::uint8_t>(get_varint(in)));
  return checks;
}

CheckSettings ProducerGroups::settings(std::string_view group, const Topic* topic) const {
  const CoreOptions& options = context_.options;
  CheckSettings settings;
  if (!groups_.empty()) {
    if (const auto found = groups_.find(group); found != groups_.end()) settings = found->second;
  }
  if (topic != nullptr) settings = settings.or_else(topic->checks);
  return settings.or_else({.first_check_ms = options.first_check_ms,
                           .lifetime_ms = options.transaction_lifetime_ms,
                           .backoff_max_ms = options.check_backoff_max_ms,
                           .budget = options.check_budget,
                           .on_budget = OnBudget::kPark});
}

CheckSettings ProducerGroups::settings(const Transaction& transaction) const {
  const auto& halves = transaction.halves;
  return settings(transaction.group(),
                  halves.empty() ? nullptr : topics_.find(halves.front().topic));
}

void ProducerGroups::admit_set(const Waiter& waiter, const SetProducerGroupRequest& request) {
  if (!context_.has_room(waiter)) return;
  if (!groups_.contains(request.group.name) &&
      groups_.size() + in_flight_ >= limits::kProducerGroupsMax) {
    return context_.refuse(
        waiter, ErrorCode::kTooManyGroups,
        "there are " + std::to_string(groups_.size()) + " producer groups with settings");
  }
  ++in_flight_;
  context_.proposals.propose(waiter, context_.now_ms(), TopicUid{}, 0,
                             store::ProducerGroupChangeExtension{.name = request.group.name,
                                                                 .checks = request.group.checks});
}

bool ProducerGroups::apply_change(const Applying& applying) {
  const auto change = store::decode<store::ProducerGroupChangeExtension>(applying.record.header,
                                                                         applying.record.extension);
  if (!change) return false;
  if (context_.serving) --in_flight_;
  std::string name(change->name);
  if (change->checks == CheckSettings{}) {
    groups_.erase(name);
  } else {
    groups_[name] = change->checks;
  }
  dirty_.push_back(std::move(name));
  context_.answer(applying.waiter, Response(SetProducerGroupResponse{}));
  return true;
}

void ProducerGroups::admit_list(const Waiter& waiter, const ListProducerGroupsRequest& request) {
  ListProducerGroupsResponse response;
  if (!request.name.empty()) {
    const auto found = groups_.find(request.name);
    if (found == groups_.end()) {
      return context_.refuse(waiter, ErrorCode::kGroupNotFound,
                             "producer group " + request.name + " has no settings of its own");
    }
    response.groups.push_back({.name = found->first, .checks = found->second});
    return context_.answer(waiter, Response(std::move(response)));
  }
  for (const auto& [name, checks] : groups_) {
    if (name > request.after) response.groups.push_back({.name = name, .checks = checks});
  }
  std::sort(response.groups.begin(), response.groups.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  const std::size_t limit =
      request.limit != 0 ? std::min(request.limit, limits::kListPageMax) : limits::kListPageMax;
  response.more = response.groups.size() > limit;
  if (response.more) response.groups.resize(limit);
  context_.answer(waiter, Response(std::move(response)));
}

void ProducerGroups::collect() {
  for (const std::string& name : dirty_) {
    std::string key = keys::producer_group(context_.shard, name);
    const auto found = groups_.find(name);
    if (found == groups_.end()) {
      context_.checkpoint.erase(std::move(key));
      continue;
    }
    std::string row;
    put_checks(row, found->second);
    context_.checkpoint.put(std::move(key), std::move(row));
  }
  dirty_.clear();
}

Result<void> ProducerGroups::restore(const store::IndexView& index) {
  return restore_rows(context_, index, 'u', [&](std::string_view key, std::string_view row) {
    ByteReader in(row);
    groups_[std::string(keys::KeyReader(key).rest())] = get_checks(in);
    return in.done();
  });
}

}  // namespace tally::broker
