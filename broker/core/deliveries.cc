#include "broker/core/deliveries.h"

#include <algorithm>

#include "broker/core/backoff.h"
#include "protocol/base/check.h"
#include "protocol/base/seeded_bug.h"

namespace tally::broker {

Group* Deliveries::find_group(std::string_view name) {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

Subscription* Deliveries::find(Group* group, const Topic* topic) {
  if (group == nullptr || topic == nullptr) return nullptr;
  for (const auto& subscription : group->subscriptions) {
    if (&subscription->topic == topic) return subscription.get();
  }
  return nullptr;
}

Subscription* Deliveries::find(std::string_view group, std::string_view topic) {
  return find(find_group(group), topics_.find(topic));
}

// --- receive ---

void Deliveries::admit_receive(const Waiter& waiter, const ReceiveRequest& request) {
  Topic* topic = topics_.find(request.topic);
  if (topic == nullptr) {
    return context_.refuse(waiter, ErrorCode::kTopicNotFound, "there is no topic " + request.topic);
  }
  std::list<WaitingReceive> receive(1);
  WaitingReceive& front = receive.front();
  front.waiter = waiter;
  front.messages_max = std::clamp(request.messages_max, 1u, limits::kReceiveMessagesMax);
  const auto most = static_cast<std::uint32_t>(limits::kReceiveBytesMax);
  front.bytes_max = request.bytes_max != 0 ? std::min(request.bytes_max, most) : most;
  front.lease_ms = request.lease_ms > 0 ? request.lease_ms : context_.options.lease_ms;
  front.wait_ms = request.wait_ms;
  if (context_.draining) return answer_empty(front);
  Subscription* subscription = find(find_group(request.group), topic);
  if (subscription == nullptr) return open(waiter, *topic, request, std::move(receive));
  wait(*subscription, std::move(receive));
  pump(*subscription);
}

void Deliveries::open(const Waiter& waiter, Topic& topic, const ReceiveRequest& request,
                      std::list<WaitingReceive>&& receive) {
  auto& opening = opening_[{request.group, topic.uid.value}];
  if (opening.empty()) {
    if (!context_.has_room(waiter)) {
      opening_.erase({request.group, topic.uid.value});
      return;
    }
    GroupUid uid;
    if (const Group* group = find_group(request.group)) {
      uid = group->uid;
    } else if (const auto found = in_flight_.find(request.group); found != in_flight_.end()) {
      uid = found->second;
    } else if (by_name_.size() + in_flight_.size() >= context_.options.groups_max) {
      opening_.erase({request.group, topic.uid.value});
      return context_.refuse(waiter, ErrorCode::kTooManyGroups,
                             "there are " + std::to_string(by_name_.size()) + " groups");
    } else {
      uid = GroupUid(++newest_uid_);
      in_flight_.emplace(request.group, uid);
    }
    context_.proposals.propose(Waiter{}, context_.now_ms(), topic.uid, 0,
                               store::GroupChangeExtension{.group = uid, .name = request.group});
  }
  opening.splice(opening.end(), receive);
}

void Deliveries::wait(Subscription& subscription, std::list<WaitingReceive>&& receive) {
  for (WaitingReceive& waiting : receive) {
    const auto session = sessions_.find(waiting.waiter.session);
    if (session != sessions_.end()) {
      auto& mine = session->second.subscriptions;
      if (std::find(mine.begin(), mine.end(), &subscription) == mine.end())
        mine.push_back(&subscription);
    }
    waiting.subscription = &subscription;
    waiting.over = waiting.wait_ms <= 0;
    if (!waiting.over) context_.wheel.schedule(waiting, context_.now_ms() + waiting.wait_ms);
  }
  subscription.waiting.splice(subscription.waiting.end(), receive);
}

void Deliveries::answer_empty(const WaitingReceive& receive) {
  context_.effects.grants.push_back(
      {.session = receive.waiter.session,
       .request = receive.waiter.request,
       .response = {.applied = context_.applied, .lease_ms = receive.lease_ms, .deliveries = {}},
       .record_bytes = {}});
}

void Deliveries::receive_due(WaitingReceive& receive) {
  receive.over = true;
  queue_pump(*receive.subscription);
}

void Deliveries::drain() {
  for (const auto& group : by_uid_) {
    if (group == nullptr) continue;
    for (const auto& subscription : group->subscriptions) {
      for (const WaitingReceive& receive : subscription->waiting) answer_empty(receive);
      subscription->waiting.clear();
    }
  }
  for (const auto& [key, opening] : opening_) {
    for (const WaitingReceive& receive : opening) answer_empty(receive);
  }
  opening_.clear();
}

// --- settle ---

void Deliveries::admit_settle(const Waiter& waiter, const SettleRequest& request) {
  const Topic* topic = topics_.find(request.topic);
  if (topic == nullptr) {
    return context_.refuse(waiter, ErrorCode::kTopicNotFound, "there is no topic " + request.topic);
  }
  Subscription* subscription = find(find_group(request.group), topic);
  if (subscription == nullptr) {
    return context_.refuse(waiter, ErrorCode::kGroupNotFound,
                           "group " + request.group + " does not read topic " + request.topic);
  }
  if (context_.in_reserve()) {
    ++context_.counters.disk_full;
    return context_.refuse(waiter, ErrorCode::kDiskFull,
                           "what is left of the disk is kept for the ends of transactions");
  }
  if (request.items.empty() || request.items.size() > limits::kSettleItemsMax) {
    return context_.refuse(waiter, ErrorCode::kOutOfRange, "a settle has 1 to 1024 items");
  }
  store::SettleExtension settle{.group = subscription->group.uid, .items = {}};
  settle.items.reserve(request.items.size());
  for (const SettleItem& item : request.items) {
    settle.items.push_back({.action = static_cast<std::uint8_t>(item.action),
                            .queue = item.queue.value,
                            .offset = item.offset.value,
                            .attempt = item.attempt,
                            .delay_ms = item.delay_ms});
  }
  settle_in_flight(*subscription, settle.items);
  const bool too_early = TALLY_SEEDED_BUG("settle_answered_before_durable");
  if (too_early) {
    const std::vector<ErrorCode> all_ok(request.items.size(), ErrorCode::kOk);
    context_.answer(waiter, Response(SettleResponse{context_.applied, all_ok}));
  }
  context_.proposals.propose_as(store::RecordType::kSettle, too_early ? Waiter{} : waiter,
                                context_.now_ms(), topic->uid, 0, settle);
}

void Deliveries::settle_in_flight(Subscription& subscription,
                                  const std::vector<store::SettleEntry>& items) {
  for (const auto& item : items) {
    if (item.queue < subscription.queues.size())
      ++subscription.queues[item.queue].settling[item.offset];
  }
}

bool Deliveries::apply_settle(const Applying& applying) {
  const auto& header = applying.record.header;
  const auto settle = store::decode<store::SettleExtension>(header, applying.record.extension);
  if (!settle || settle->group.value >= by_uid_.size()) return false;
  Subscription* subscription = find(by_uid_[settle->group.value].get(), topics_.find(header.topic));
  if (subscription == nullptr) return false;
  const bool expired = header.type == store::RecordType::kLeaseExpired;
  SettleResponse response{.applied = context_.applied, .results = {}};
  for (const auto& item : settle->items) {
    const bool accepted = settle_item(*subscription, item, applying.time_ms);
    if (accepted) ++(expired ? context_.counters.expired_leases : context_.counters.settles);
    if (applying.waiter.session.value == 0) continue;
    response.results.push_back(accepted ? ErrorCode::kOk : ErrorCode::kLeaseLost);
  }
  context_.answer(applying.waiter, Response(std::move(response)));
  if (context_.serving) queue_pump(*subscription);
  return true;
}

bool Deliveries::settle_item(Subscription& subscription, const store::SettleEntry& item,
                             std::int64_t time_ms) {
  if (item.queue >= subscription.queues.size()) return false;
  QueueDelivery& queue = subscription.queues[item.queue];
  const auto& retries = queue.progress.retries();
  const auto before = retries.find(item.offset);
  const std::int64_t old_due_ms = before == retries.end() ? 0 : before->second.due_ms;
  const std::uint64_t hash =
      mix(static_cast<std::uint64_t>(subscription.topic.uid.value) << 32 | item.queue);
  const std::uint64_t next = subscription.topic.queues[item.queue].next;
  const bool accepted = queue.progress.settle(item, next, time_ms, context_.config, hash);
  if (accepted) mark_dirty(subscription, item.queue);
  if (!context_.serving) return accepted;

  const auto settling = queue.settling.find(item.offset);
  if (settling != queue.settling.end() && --settling->second == 0) queue.settling.erase(settling);
  if (accepted) {
    queue.leases.erase(item.offset);
    queue.returned.erase(item.offset);
    subscription.retry_due.erase({old_due_ms, item.queue, item.offset});
    const auto after = retries.find(item.offset);
    if (after != retries.end()) {
      subscription.retry_due.emplace(after->second.due_ms, item.queue, item.offset);
    }
  } else if (item.offset < queue.cursor && !queue.leases.contains(item.offset) &&
             !queue.settling.contains(item.offset) && !retries.contains(item.offset) &&
             queue.progress.first_unsettled(item.offset) == item.offset) {
    queue.returned.insert(item.offset);  // its lease ended while this settle was in flight
  }
  return accepted;
}

void Deliveries::mark_dirty(Subscription& subscription, std::uint32_t queue) {
  if (std::exchange(subscription.queues[queue].dirty, true)) return;
  dirty_.emplace_back(&subscription, queue);
}

void Deliveries::lose_below_first(Topic& topic, std::span<const store::RetainFloor> floors) {
  for (Subscription* subscription : topic.subscribers) {
    std::uint64_t lost = 0;
    for (const auto& floor : floors) lost += lose_below_first(*subscription, floor.queue);
    context_.counters.lost += lost;
    if (lost == 0 || !context_.serving) continue;
    context_.effects.losses.push_back(
        {.group = subscription->group.name, .topic = topic.name, .messages = lost});
  }
}

std::uint64_t Deliveries::lose_below_first(Subscription& subscription, std::uint32_t at) {
  const std::uint64_t first = subscription.topic.queues[at].first;
  QueueDelivery& queue = subscription.queues[at];
  const std::uint64_t lost_before = queue.progress.lost();
  const auto& retries = queue.progress.retries();
  const bool retries_lost = !retries.empty() && retries.begin()->first < first;
  if (!queue.progress.lose_below(first)) return 0;
  mark_dirty(subscription, at);
  if (context_.serving) {
    queue.cursor = std::max(queue.cursor, first);
    queue.returned.erase(queue.returned.begin(), queue.returned.lower_bound(first));
    std::erase_if(queue.leases, [&](const auto& lease) { return lease.first < first; });
    if (retries_lost) {
      std::erase_if(subscription.retry_due, [&](const Subscription::Due& due) {
        return std::get<1>(due) == at && std::get<2>(due) < first;
      });
    }
    queue_pump(subscription);
  }
  return queue.progress.lost() - lost_before;
}

void Deliveries::message_damaged(const DamagedMessage& message) {
  if (message.group.value >= by_uid_.size()) return;
  Subscription* subscription =
      find(by_uid_[message.group.value].get(), topics_.find(message.topic));
  if (subscription == nullptr) return;
  auto& damaged = subscription->queues.at(message.queue.value).damaged;
  if (damaged.size() < kUnsettledMax) damaged.insert(message.offset.value);
}

// --- leases ---

void Deliveries::admit_extend(const Waiter& waiter, const ExtendLeaseRequest& request) {
  Subscription* subscription = find(request.group, request.topic);
  const std::int64_t lease_ms = request.lease_ms > 0 ? request.lease_ms : context_.options.lease_ms;
  ExtendLeaseResponse response;
  for (const LeaseItem& item : request.items) {
    response.results.push_back(ErrorCode::kLeaseLost);
    if (subscription == nullptr || item.queue.value >= subscription->queues.size()) continue;
    auto& leases = subscription->queues[item.queue.value].leases;
    const auto found = leases.find(item.offset.value);
    if (found == leases.end()) continue;
    Lease& lease = found->second;
    if (lease.session != waiter.session || lease.attempt != item.attempt || lease.expiring)
      continue;
    context_.wheel.schedule(lease, context_.now_ms() + lease_ms);
    response.results.back() = ErrorCode::kOk;
  }
  context_.answer(waiter, Response(std::move(response)));
}

void Deliveries::lease_due(Lease& lease) {
  constexpr std::int64_t kAgainMs = 50, kRoomAgainMs = 1'000;
  Subscription& subscription = *lease.subscription;
  const bool settling = subscription.queues[lease.queue].settling.contains(lease.offset);
  if (settling || context_.in_reserve()) {  // the settle decides first; what expires is written
    const std::int64_t again_ms = settling ? kAgainMs : kRoomAgainMs;
    return context_.wheel.schedule(lease, context_.now_ms() + again_ms);
  }
  lease.expiring = true;
  if (subscription.expired.empty()) to_expire_.push_back(&subscription);
  subscription.expired.push_back({.action = static_cast<std::uint8_t>(SettleAction::kNack),
                                  .queue = lease.queue,
                                  .offset = lease.offset,
                                  .attempt = lease.attempt,
                                  .delay_ms = 0});
}

void Deliveries::propose_expired(Subscription& subscription) {
  settle_in_flight(subscription, subscription.expired);
  auto& expired = subscription.expired;
  for (std::size_t at = 0; at < expired.size(); at += limits::kSettleItemsMax) {
    const auto first = expired.begin() + static_cast<std::ptrdiff_t>(at);
    const auto count = std::min<std::size_t>(limits::kSettleItemsMax, expired.size() - at);
    const store::SettleExtension record{
        .group = subscription.group.uid,
        .items = {first, first + static_cast<std::ptrdiff_t>(count)}};
    context_.proposals.propose_as(store::RecordType::kLeaseExpired, Waiter{}, context_.now_ms(),
                                  subscription.topic.uid, 0, record);
  }
  expired.clear();
}

void Deliveries::give_back(Subscription& subscription, const Lease& lease) {
  QueueDelivery& queue = subscription.queues[lease.queue];
  const auto& retries = queue.progress.retries();
  if (const auto retry = retries.find(lease.offset); retry != retries.end()) {
    subscription.retry_due.emplace(retry->second.due_ms, lease.queue, lease.offset);
  } else if (!queue.settling.contains(lease.offset)) {
    queue.returned.insert(lease.offset);
  }
}

void Deliveries::session_closed(SessionId id, Session& session) {
  for (Subscription* subscription : session.subscriptions) {
    subscription->waiting.remove_if([&](const auto& w) { return w.waiter.session == id; });
    for (QueueDelivery& queue : subscription->queues) {
      for (auto lease = queue.leases.begin(); lease != queue.leases.end();) {
        if (lease->second.session != id || lease->second.expiring) {
          ++lease;
          continue;
        }
        give_back(*subscription, lease->second);
        lease = queue.leases.erase(lease);
      }
    }
    queue_pump(*subscription);
  }
  session.subscriptions.clear();
  for (auto& [key, opening] : opening_) {
    opening.remove_if([&](const auto& w) { return w.waiter.session == id; });
  }
}

}  // namespace tally::broker
