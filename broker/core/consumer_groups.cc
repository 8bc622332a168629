// Groups and subscriptions: how they come into being, in which rows they are kept, and how they are listed.

#include <algorithm>

#include "broker/core/deliveries.h"
#include "broker/core/index_keys.h"

namespace tally::broker {

Group& Deliveries::make_group(GroupUid uid, std::string_view name) {
  if (by_uid_.size() <= uid.value) by_uid_.resize(uid.value + 1);
  auto& group = by_uid_[uid.value];
  group = std::make_unique<Group>();
  group->uid = uid;
  group->name = name;
  by_name_.emplace(group->name, group.get());
  newest_uid_ = std::max(newest_uid_, uid.value);
  return *group;
}

Subscription& Deliveries::make(Group& group, Topic& topic) {
  group.subscriptions.push_back(std::make_unique<Subscription>(group, topic));
  topic.subscribers.push_back(group.subscriptions.back().get());
  return *group.subscriptions.back();
}

bool Deliveries::apply_group_change(const Applying& applying) {
  const auto& header = applying.record.header;
  const auto change = store::decode<store::GroupChangeExtension>(header, applying.record.extension);
  Topic* topic = topics_.find(header.topic);
  if (!change || topic == nullptr || change->group.value == 0) return false;
  Group* group = find_group(change->name);
  if (group == nullptr) {
    group = &make_group(change->group, change->name);
    new_groups_.push_back(group);
  }
  Subscription* subscription = find(group, topic);
  if (subscription == nullptr) {
    subscription = &make(*group, *topic);
    new_subscriptions_.push_back(subscription);
    for (std::uint32_t at = 0; at < topic->queues.size(); ++at) {
      if (topic->queues[at].first == 0) continue;
      subscription->queues[at].progress.start_at(topic->queues[at].first);
      mark_dirty(*subscription, at);
    }
  }
  if (!context_.serving) return true;
  in_flight_.erase(change->name);
  auto opening = opening_.extract({change->name, topic->uid.value});
  if (!opening.empty()) wait(*subscription, std::move(opening.mapped()));
  queue_pump(*subscription);
  return true;
}

void Deliveries::admit_list(const Waiter& waiter, const ListGroupsRequest& request) {
  std::vector<const Group*> found;
  if (!request.name.empty()) {
    const Group* group = find_group(request.name);
    if (group == nullptr) {
      return context_.refuse(waiter, ErrorCode::kGroupNotFound,
                             "there is no group " + request.name);
    }
    found.push_back(group);
  } else {
    for (const auto& [name, group] : by_name_) {
      if (name > request.after) found.push_back(group);
    }
    std::sort(found.begin(), found.end(), [](auto* a, auto* b) { return a->name < b->name; });
  }
  const std::size_t limit =
      request.limit != 0 ? std::min(request.limit, limits::kListPageMax) : limits::kListPageMax;
  ListGroupsResponse response;
  response.more = found.size() > limit;
  if (response.more) found.resize(limit);
  for (const Group* group : found) {
    GroupInfo info{.name = group->name, .queues = {}};
    for (const auto& subscription : group->subscriptions) {
      for (std::uint32_t i = 0; i < subscription->queues.size(); ++i) {
        const Progress& progress = subscription->queues[i].progress;
        const std::uint64_t next = subscription->topic.queues[i].next;
        info.queues.push_back({.topic = subscription->topic.name,
                               .queue = QueueId(i),
                               .floor = Offset(progress.floor()),
                               .next = Offset(next),
                               .settled_above_floor = progress.settled_above_floor(),
                               .retrying = progress.retries().size(),
                               .dead_lettered = progress.dead_lettered(),
                               .unsettled = next - progress.floor() -
                                            progress.settled_above_floor() +
                                            progress.retries().size(),
                               .lost = progress.lost(),
                               .damaged = subscription->queues[i].damaged.size()});
      }
    }
    std::sort(info.queues.begin(), info.queues.end(), [](const auto& a, const auto& b) {
      return std::tie(a.topic, a.queue) < std::tie(b.topic, b.queue);
    });
    response.groups.push_back(std::move(info));
  }
  context_.answer(waiter, Response(std::move(response)));
}

void Deliveries::collect() {
  auto& checkpoint = context_.checkpoint;
  for (const Group* group : new_groups_)
    checkpoint.put(keys::group(context_.shard, group->uid), group->name);
  new_groups_.clear();
  for (const Subscription* subscription : new_subscriptions_) {
    checkpoint.put(
        keys::subscription(context_.shard, subscription->group.uid, subscription->topic.uid), {});
  }
  new_subscriptions_.clear();
  for (const auto& [subscription, at] : dirty_) {
    QueueDelivery& queue = subscription->queues[at];
    queue.dirty = false;
    checkpoint.put(keys::progress(context_.shard, subscription->group.uid, subscription->topic.uid,
                                  QueueId(at)),
                   queue.progress.encode());
  }
  dirty_.clear();
}

Result<void> Deliveries::restore(const store::IndexView& index) {
  TALLY_TRY_VOID(
      restore_rows(context_, index, 'g', [&](std::string_view key, std::string_view name) {
        keys::KeyReader reader(key);
        const GroupUid uid(reader.u32());
        if (!reader.done() || uid.value == 0) return false;
        make_group(uid, name);
        return true;
      }));
  const auto group_of = [&](std::uint32_t uid) {
    return uid < by_uid_.size() ? by_uid_[uid].get() : nullptr;
  };
  TALLY_TRY_VOID(restore_rows(context_, index, 's', [&](std::string_view key, std::string_view) {
    keys::KeyReader reader(key);
    Group* group = group_of(reader.u32());
    Topic* topic = topics_.find(TopicUid(reader.u32()));
    if (!reader.done() || group == nullptr || topic == nullptr) return false;
    make(*group, *topic);
    return true;
  }));
  return restore_rows(context_, index, 'r', [&](std::string_view key, std::string_view value) {
    keys::KeyReader reader(key);
    Group* group = group_of(reader.u32());
    Subscription* subscription = find(group, topics_.find(TopicUid(reader.u32())));
    const std::uint32_t queue = reader.u32();
    auto progress = Progress::decode(value);
    if (!reader.done() || !progress || subscription == nullptr ||
        queue >= subscription->queues.size()) {
      return false;
    }
    subscription->queues[queue].progress = std::move(*progress);
    return true;
  });
}

void Deliveries::start() {
  for (const auto& group : by_uid_) {
    if (group == nullptr) continue;
    for (const auto& subscription : group->subscriptions) {
      for (std::uint32_t i = 0; i < subscription->queues.size(); ++i) {
        QueueDelivery& queue = subscription->queues[i];
        queue.cursor = queue.progress.floor();
        for (const auto& [offset, retry] : queue.progress.retries()) {
          subscription->retry_due.emplace(retry.due_ms, i, offset);
        }
      }
    }
  }
}

}  // namespace tally::broker
