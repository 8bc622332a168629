// Granting: which messages a waiting receive gets. Due retries first, then what was given back, then new ones, queues in turn.

#include <algorithm>

#include "broker/core/deliveries.h"
#include "broker/core/index_keys.h"
#include "protocol/base/check.h"

namespace tally::broker {

/// An answer under construction.
struct Deliveries::Filling {
  const WaitingReceive& receive;
  Grant grant{};
  std::uint64_t bytes = 0;
  bool full = false;
};

void Deliveries::queue_pump(Subscription& subscription) {
  if (subscription.pump_queued) return;
  subscription.pump_queued = true;
  to_pump_.push_back(&subscription);
}

void Deliveries::flush() {
  for (Topic* topic : topics_.touched()) {
    topic->touched = false;
    for (Subscription* subscription : topic->subscribers) queue_pump(*subscription);
  }
  topics_.touched().clear();
  for (std::size_t i = 0; i < to_pump_.size(); ++i) {
    to_pump_[i]->pump_queued = false;
    pump(*to_pump_[i]);
  }
  to_pump_.clear();
  for (Subscription* subscription : to_expire_) propose_expired(*subscription);
  to_expire_.clear();
}

void Deliveries::pump(Subscription& subscription) {
  auto& waiting = subscription.waiting;
  while (!waiting.empty()) {
    Filling filling{.receive = waiting.front()};
    grant(subscription, filling);
    if (filling.grant.response.deliveries.empty()) break;
    context_.effects.grants.push_back(std::move(filling.grant));
    waiting.pop_front();
  }
  if (waiting.empty()) return;
  if (subscription.loading.empty()) {
    waiting.remove_if([&](const WaitingReceive& receive) {
      if (receive.over) answer_empty(receive);
      return receive.over;
    });
  }
  if (waiting.empty() || subscription.retry_due.empty()) return;
  const std::int64_t due = std::get<0>(*subscription.retry_due.begin());
  if (due > context_.now_ms()) context_.wheel.schedule(subscription, due);
}

void Deliveries::grant(Subscription& subscription, Filling& filling) {
  grant_retries(subscription, filling);
  const auto queues = static_cast<std::uint32_t>(subscription.queues.size());
  for (std::uint32_t step = 0; step < queues && !filling.full; ++step) {
    grant_queue(subscription, (subscription.turn + step) % queues, filling);
  }
  auto& grant = filling.grant;
  if (grant.response.deliveries.empty()) return;
  subscription.turn = (grant.response.deliveries.back().queue.value + 1) % queues;
  grant.session = filling.receive.waiter.session;
  grant.request = filling.receive.waiter.request;
  grant.group = subscription.group.uid;
  grant.topic = subscription.topic.uid;
  grant.response.applied = context_.applied;
  grant.response.lease_ms = filling.receive.lease_ms;
  context_.counters.grants += grant.response.deliveries.size();
}

void Deliveries::grant_retries(Subscription& subscription, Filling& filling) {
  auto at = subscription.retry_due.begin();
  while (at != subscription.retry_due.end() && !filling.full) {
    const auto [due, queue, offset] = *at;
    if (due > context_.now_ms()) return;
    const bool settling = subscription.queues[queue].settling.contains(offset);
    if (!settling && lease(subscription, queue, offset, filling)) {
      at = subscription.retry_due.erase(at);
    } else {
      ++at;
    }
  }
}

void Deliveries::grant_queue(Subscription& subscription, std::uint32_t at, Filling& filling) {
  QueueDelivery& queue = subscription.queues[at];
  while (!queue.returned.empty() && !filling.full) {
    const std::uint64_t offset = *queue.returned.begin();
    if (!lease(subscription, at, offset, filling)) break;
    queue.returned.erase(offset);
  }
  const std::uint64_t next = subscription.topic.queues[at].next;
  while (!filling.full) {
    queue.cursor = queue.progress.first_unsettled(queue.cursor);
    if (queue.cursor >= next) return;
    if (queue.leases.size() + queue.progress.retries().size() >= kUnsettledMax) return;
    const bool settling = queue.settling.contains(queue.cursor);
    if (!settling && !lease(subscription, at, queue.cursor, filling)) return;
    ++queue.cursor;
  }
}

bool Deliveries::lease(Subscription& subscription, std::uint32_t queue, std::uint64_t offset,
                       Filling& filling) {
  const MessageRef* message = topics_.locate(subscription.topic, queue, offset);
  if (message == nullptr) {
    load_block(subscription, queue, offset);
    return false;
  }
  auto& deliveries = filling.grant.response.deliveries;
  if (!deliveries.empty() && filling.bytes + message->block_bytes > filling.receive.bytes_max) {
    filling.full = true;
    return false;
  }
  QueueDelivery& from = subscription.queues[queue];
  Lease& lease = from.leases[offset];
  lease.subscription = &subscription;
  lease.queue = queue;
  lease.offset = offset;
  lease.attempt = from.progress.attempt(offset);
  lease.session = filling.receive.waiter.session;
  lease.expiring = false;
  context_.wheel.schedule(lease, context_.now_ms() + filling.receive.lease_ms);
  deliveries.push_back({.lsn = message->lsn,
                        .queue = QueueId(queue),
                        .offset = Offset(offset),
                        .attempt = lease.attempt,
                        .block_bytes = message->block_bytes});
  filling.grant.record_bytes.push_back(message->record_bytes());
  filling.bytes += message->block_bytes;
  filling.full = deliveries.size() >= filling.receive.messages_max;
  return true;
}

void Deliveries::load_block(Subscription& subscription, std::uint32_t queue, std::uint64_t offset) {
  const BlockKey key{subscription.topic.uid, QueueId(queue), offset / kBlockOffsets};
  if (!subscription.loading.insert(key).second) return;
  context_.loads.get(keys::block(context_.shard, key.topic, key.queue, key.number),
                     [this, key, &subscription](StoredPairs&& found) {
                       subscription.loading.erase(key);
                       queue_pump(subscription);
                       const Queue& from = subscription.topic.queues[key.queue.value];
                       if (from.first >= (key.number + 1) * kBlockOffsets) return;  // gone by now
                       auto block =
                           found.empty() ? std::nullopt : decode_block(found.front().second);
                       TALLY_CHECK(block.has_value());
                       topics_.blocks().insert_loaded(key, std::move(*block));
                     });
}

}  // namespace tally::broker
