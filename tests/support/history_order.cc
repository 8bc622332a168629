#include "tests/support/history_groups.h"

namespace tally::test {

namespace {

/// The neighbours of an offset in its message group; -1 or the size when there is none.
struct Neighbours {
  std::ptrdiff_t before;
  std::ptrdiff_t after;
};
Neighbours neighbours(const std::vector<std::uint64_t>& offsets, std::uint64_t offset) {
  const auto at = std::lower_bound(offsets.begin(), offsets.end(), offset) - offsets.begin();
  const bool there = at < std::ssize(offsets) && offsets[static_cast<std::size_t>(at)] == offset;
  return {.before = at - 1, .after = there ? at + 1 : at};
}

}  // namespace

void Groups::order_grant(EventNumber event, TestSubscription& subscription, QueueIndex queue,
                         NameId message_group, const Delivered& grant, bool first) {
  const auto& offsets = messages_.queue(queue).ordered[message_group];
  const auto [before, after] = neighbours(offsets, grant.offset);
  if (first && before >= 0) {
    const std::uint64_t earlier = offsets[static_cast<std::size_t>(before)];
    const TestDelivery& delivery = *subscription.find(queue, grant.offset);
    if (!may_precede(subscription, queue, earlier, delivery)) {
      report_order(event, subscription, queue, earlier, grant.offset);
    }
  }
  if (after == std::ssize(offsets)) return;
  const std::uint64_t later = offsets[static_cast<std::size_t>(after)];
  const TestDelivery* successor = subscription.find(queue, later);
  if (successor == nullptr || successor->granted == 0) return;
  const TestDelivery& delivery = *subscription.find(queue, grant.offset);
  const bool known = grant.applied != 0 && successor->granted_index != 0;
  const bool broken =
      known ? grant.applied >= successor->granted_index : first && delivery.settle_invoked == 0;
  if (broken) report_order(event, subscription, queue, grant.offset, later);
}

void Groups::order_settled(EventNumber event, TestSubscription& subscription, QueueIndex queue,
                           std::uint64_t offset) {
  const TestQueue& of = messages_.queue(queue);
  const auto place = of.places.find(offset);
  if (place == of.places.end()) return;
  const auto ordered = of.ordered.find(messages_[place->second.message].message_group);
  if (ordered == of.ordered.end()) return;
  const auto after = neighbours(ordered->second, offset).after;
  if (after == std::ssize(ordered->second)) return;
  const std::uint64_t later = ordered->second[static_cast<std::size_t>(after)];
  const TestDelivery* successor = subscription.find(queue, later);
  if (successor == nullptr || successor->granted == 0) return;
  if (!may_precede(subscription, queue, offset, *successor)) {
    report_order(event, subscription, queue, offset, later);
  }
}

bool Groups::may_precede(TestSubscription& subscription, QueueIndex queue, std::uint64_t before,
                         const TestDelivery& after) {
  if (before < messages_.queue(queue).floor()) return true;
  const TestDelivery* delivery = subscription.find(queue, before);
  if (delivery == nullptr) return false;
  if (delivery->settled != 0) {
    return delivery->settled_index == 0 || after.granted_index == 0 ||
           delivery->settled_index <= after.granted_index;
  }
  if (delivery->settles_alive > 0 && delivery->settle_invoked < after.granted) return true;
  return limits_.attempts_max > 0 && delivery->latest_attempt >= limits_.attempts_max;
}

void Groups::report_order(EventNumber event, TestSubscription& subscription, QueueIndex queue,
                          std::uint64_t before, std::uint64_t after) {
  TestDelivery& later = *subscription.find(queue, after);
  if (later.order_reported) return;
  later.order_reported = true;
  const TestDelivery* earlier = subscription.find(queue, before);
  const TestQueue& of = messages_.queue(queue);
  const NameId message_group = messages_[of.places.at(after).message].message_group;
  findings_.add(
      Rule::kOrder,
      sentence("group ", text(subscription.group), " was granted ", messages_.text(queue, after),
               " before ", messages_.text(queue, before), ", which precedes it in message group '",
               names_.text(message_group), "', was settled"),
      {earlier == nullptr ? 0 : earlier->granted, of.places.at(before).event, later.granted,
       event});
}

void Groups::order_all(TestSubscription& subscription, QueueIndex queue,
                       const std::vector<std::uint64_t>& offsets) {
  for (std::size_t at = 1; at < offsets.size(); ++at) {
    const TestDelivery* after = subscription.find(queue, offsets[at]);
    if (after == nullptr || after->granted == 0 || after->order_reported) continue;
    if (!may_precede(subscription, queue, offsets[at - 1], *after)) {
      report_order(0, subscription, queue, offsets[at - 1], offsets[at]);
    }
  }
}

void Groups::order_of_publication(QueueIndex queue, const std::vector<std::uint64_t>& offsets) {
  const TestQueue& of = messages_.queue(queue);
  EventNumber acked_first = UINT64_MAX;  ///< among those at higher offsets
  std::uint64_t where = 0;
  for (auto at = offsets.rbegin(); at != offsets.rend(); ++at) {
    const TestMessage& message = messages_[of.places.at(*at).message];
    const Publication publication = transactions_.publication(message);
    if (message.copies != 1 || publication.after == 0) continue;
    if (acked_first < publication.after) {
      findings_.add(Rule::kOrder,
                    sentence(messages_.text(queue, where), " was published before ",
                             messages_.text(queue, *at), " was asked for, in message group '",
                             names_.text(message.message_group), "', but stands behind it"),
                    {acked_first, publication.after});
    }
    if (publication.before != 0 && publication.before < acked_first) {
      acked_first = publication.before;
      where = *at;
    }
  }
}

void Groups::finish() {
  for (QueueIndex queue = 0; queue < messages_.queues().size(); ++queue) {
    for (const auto& [message_group, offsets] : messages_.queue(queue).ordered) {
      order_of_publication(queue, offsets);
      for (TestSubscription& subscription : all_) {
        if (subscription.topic == messages_.queue(queue).topic) {
          order_all(subscription, queue, offsets);
        }
      }
    }
  }
}

}  // namespace tally::test
