#include "tests/support/history_groups.h"

namespace tally::test {

const TestDelivery* TestSubscription::find(QueueIndex queue, std::uint64_t offset) const {
  const auto of_queue = queues.find(queue);
  if (of_queue == queues.end()) return nullptr;
  const auto delivery = of_queue->second.find(offset);
  return delivery == of_queue->second.end() ? nullptr : &delivery->second;
}

TestDelivery* TestSubscription::find(QueueIndex queue, std::uint64_t offset) {
  return const_cast<TestDelivery*>(std::as_const(*this).find(queue, offset));
}

SubscriptionIndex Groups::index(EventNumber event, const std::string& group,
                                const std::string& topic) {
  const Pair key{names_.of(group), names_.of(topic)};
  const auto [at, added] = ids_.try_emplace(key, static_cast<SubscriptionIndex>(all_.size()));
  if (added) {
    all_.emplace_back();
    all_.back().group = names_.of(group);
    all_.back().topic = names_.of(topic);
    all_.back().since = event;
  }
  return at->second;
}

void Groups::subscribed(EventNumber event, const std::string& group, const std::string& topic) {
  index(event, group, topic);
}

void Groups::delivered(EventNumber event, MessageIndex message, const Delivered& grant) {
  TestSubscription& subscription = all_[index(event, grant.group, grant.topic)];
  const QueueIndex queue = messages_.queue_index(subscription.topic, grant.queue);
  TestDelivery& delivery = subscription.queues[queue][grant.offset];
  const bool sound = judge_grant(event, subscription, queue, delivery, grant);

  const bool first = delivery.granted == 0;
  if (first) delivery.granted = event;
  if (first || grant.applied < delivery.granted_index) delivery.granted_index = grant.applied;
  if (first || grant.applied > delivery.latest_index) {
    delivery.latest_index = grant.applied;
    delivery.latest_attempt = grant.attempt;
    delivery.latest = event;
  }
  const NameId message_group = messages_[message].message_group;
  if (sound && message_group != 0) {
    order_grant(event, subscription, queue, message_group, grant, first);
  }
}

bool Groups::judge_grant(EventNumber event, const TestSubscription& subscription, QueueIndex queue,
                         const TestDelivery& delivery, const Delivered& grant) {
  if (grant.applied == 0) return true;
  const auto report = [&](EventNumber why, const auto&... how) {
    findings_.add(Rule::kSettled,
                  sentence("group ", text(subscription.group), " was granted ",
                           messages_.text(queue, grant.offset), ", attempt ", grant.attempt,
                           ", at index ", grant.applied, ", but ", how...),
                  {why, event});
    return false;
  };
  if (delivery.settled != 0 && delivery.settled_index != 0) {
    if (grant.applied >= delivery.settled_index) {
      return report(delivery.settled, "it was settled at index ", delivery.settled_index);
    }
    if (grant.attempt > delivery.settled_attempt) {
      return report(delivery.settled, "attempt ", delivery.settled_attempt,
                    " was settled later, at index ", delivery.settled_index);
    }
  }
  if (delivery.nacked != 0 && delivery.nacked_index != 0 &&
      grant.applied >= delivery.nacked_index && grant.attempt <= delivery.nacked_attempt) {
    return report(delivery.nacked, "attempt ", delivery.nacked_attempt, " was given back at index ",
                  delivery.nacked_index);
  }
  const bool backwards =
      (grant.applied > delivery.latest_index && grant.attempt < delivery.latest_attempt) ||
      (grant.applied < delivery.latest_index && grant.attempt > delivery.latest_attempt);
  if (delivery.latest_index != 0 && backwards) {
    return report(delivery.latest, "attempt ", delivery.latest_attempt, " was granted at index ",
                  delivery.latest_index);
  }
  return true;
}

SettleAsked Groups::settle_invoked(EventNumber event, const SettleInvoked& settle) {
  const SubscriptionIndex at = index(event, settle.group, settle.topic);
  const QueueIndex queue = messages_.queue_index(all_[at].topic, settle.queue);
  if (settle.action != SettleAction::kNack) {
    TestDelivery& delivery = all_[at].queues[queue][settle.offset];
    if (delivery.settle_invoked == 0) delivery.settle_invoked = event;
    ++delivery.settles_alive;
  }
  return {.event = event,
          .subscription = at,
          .queue = queue,
          .offset = settle.offset,
          .attempt = settle.attempt,
          .action = settle.action};
}

void Groups::settle_ok(EventNumber event, const SettleAsked& asked, AppliedIndex applied) {
  TestSubscription& subscription = all_[asked.subscription];
  TestDelivery& delivery = subscription.queues[asked.queue][asked.offset];
  const bool nack = asked.action == SettleAction::kNack;
  const auto report = [&](EventNumber why, const auto&... how) {
    findings_.add(Rule::kSettled,
                  sentence("group ", text(subscription.group), " settled attempt ", asked.attempt,
                           " of ", messages_.text(asked.queue, asked.offset), " at index ", applied,
                           ", but ", how...),
                  {why, asked.event, event});
  };
  const bool after_settled =
      delivery.settled != 0 &&
      (!nack || (applied != 0 && delivery.settled_index != 0 && applied > delivery.settled_index));
  if (after_settled) {
    return report(delivery.settled, "it was settled at index ", delivery.settled_index, " already");
  }
  if (applied != 0 && delivery.latest_index != 0) {
    const bool granted_later = delivery.latest_index >= applied;
    if (granted_later && (!nack || delivery.latest_attempt <= asked.attempt)) {
      return report(delivery.latest, "attempt ", delivery.latest_attempt, " was granted at index ",
                    delivery.latest_index);
    }
    if (!granted_later && delivery.latest_attempt > asked.attempt) {
      return report(delivery.latest, "attempt ", delivery.latest_attempt,
                    " was granted before, at index ", delivery.latest_index);
    }
  }
  if (nack) {
    if (delivery.nacked != 0 && applied < delivery.nacked_index) return;
    delivery.nacked = event;
    delivery.nacked_index = applied;
    delivery.nacked_attempt = asked.attempt;
    return;
  }
  delivery.settled = event;
  delivery.settled_index = applied;
  delivery.settled_attempt = asked.attempt;
  order_settled(event, subscription, asked.queue, asked.offset);
}

void Groups::settle_failed(EventNumber event, const SettleAsked& asked) {
  if (asked.action == SettleAction::kNack) return;
  TestSubscription& subscription = all_[asked.subscription];
  --subscription.queues[asked.queue][asked.offset].settles_alive;
  order_settled(event, subscription, asked.queue, asked.offset);
}

void Groups::dead_lettered(EventNumber event, const DeadLettered& dead) {
  TestSubscription& subscription = all_[index(event, dead.group, dead.topic)];
  const QueueIndex queue = messages_.queue_index(subscription.topic, dead.queue);
  TestDelivery& delivery = subscription.queues[queue][dead.offset];
  if (delivery.settled != 0) {
    findings_.add(Rule::kSettled,
                  sentence("group ", dead.group, " gave up ", messages_.text(queue, dead.offset),
                           " at index ", dead.applied, ", but it was settled at index ",
                           delivery.settled_index, " already"),
                  {delivery.settled, event});
    return;
  }
  delivery.settled = event;
  delivery.settled_index = dead.applied;
  order_settled(event, subscription, queue, dead.offset);
}

void Groups::lost_count(EventNumber event, const LostCount& count) {
  TestSubscription& subscription = all_[index(event, count.group, count.topic)];
  const QueueIndex at = messages_.queue_index(subscription.topic, count.queue);
  const TestQueue& queue = messages_.queue(at);
  const auto later = std::find_if(queue.trims.begin(), queue.trims.end(), [&](const Trim& trim) {
    return trim.event > subscription.since;
  });
  const std::uint64_t from = later == queue.trims.begin() ? 0 : std::prev(later)->floor;
  std::uint64_t least = queue.floor() - from, most = least;
  for (const auto& [offset, delivery] : subscription.queues[at]) {
    if (offset < from || offset >= queue.floor()) continue;
    const bool settled = delivery.settled != 0;
    const bool given_up =
        limits_.attempts_max > 0 && delivery.latest_attempt >= limits_.attempts_max;
    if (settled && delivery.settled < queue.trim_of(offset)->event) --most;
    if (settled || delivery.settles_alive > 0 || given_up) --least;
  }
  if (count.lost >= least && count.lost <= most) return;
  findings_.add(
      Rule::kAccounting,
      sentence("group ", count.group, " is said to have lost ", count.lost, " messages of ",
               count.topic, "/", count.queue, " by retention, but a recount gives ", least,
               least == most ? std::string() : " to " + std::to_string(most)),
      {queue.trims.empty() ? 0 : queue.trims.back().event, event});
}

}  // namespace tally::test
