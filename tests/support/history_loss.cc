#include "tests/support/history_loss.h"

namespace tally::test {

void Loss::find() {
  wrong_decisions();
  if (ending_.resumed != 0) open_transactions();
  if (ending_.drained == 0) return;
  not_granted();
  without_place();
  gaps();
}

void Loss::wrong_decisions() {
  for (TransactionIndex at = 0; at < transactions_.all().size(); ++at) {
    const TestTransaction& transaction = transactions_[at];
    const Decider by = transaction.decision.decided_by;
    if (transaction.truth != Truth::kCommitted || transaction.prepared == 0 ||
        !transaction.rolled_back() || transaction.automatic || by == Decider::kNone ||
        by == Decider::kOperator) {
      continue;
    }
    findings_.add(
        Rule::kLost,
        sentence("transaction ", transactions_.text(at),
                 " was committed in the producer's database, but rolled back by ", name(by)),
        {transaction.prepared, transaction.truth_event, transaction.decided});
  }
}

void Loss::open_transactions() {
  for (TransactionIndex at = 0; at < transactions_.all().size(); ++at) {
    const TestTransaction& transaction = transactions_[at];
    if (transaction.is_decided() || transaction.seen_event < ending_.resumed) continue;
    open_.insert(at);
    findings_.add(
        Rule::kLost,
        sentence("transaction ", transactions_.text(at), " is still ", name(transaction.seen),
                 " after all faults were healed and everything was resumed"),
        {transaction.prepared, ending_.resumed, transaction.seen_event});
  }
}

void Loss::not_granted() {
  for (QueueIndex queue = 0; queue < messages_.queues().size(); ++queue) {
    for (const TestSubscription& subscription : groups_.all()) {
      if (subscription.topic != messages_.queue(queue).topic) continue;
      for (const auto& [offset, placed] : messages_.queue(queue).places) {
        not_granted(queue, offset, subscription);
      }
    }
  }
}

void Loss::not_granted(QueueIndex queue_index, std::uint64_t offset,
                       const TestSubscription& subscription) {
  const TestDelivery* delivery = subscription.find(queue_index, offset);
  if (delivery != nullptr && (delivery->granted != 0 || delivery->settled != 0)) return;
  const TestQueue& queue = messages_.queue(queue_index);
  const PlacedMessage& placed = queue.places.at(offset);
  const TestMessage& message = messages_[placed.message];
  std::int64_t published_at_ms = 0;
  if (message.transaction != kNobody) {
    const TestTransaction& transaction = transactions_[message.transaction];
    if (transaction.reported) return;
    published_at_ms = transaction.decision.decided_at_ms;
  }
  const Trim* trim = queue.trim_of(offset);
  if (trim != nullptr && published_at_ms < trim->published_before_ms) return;
  findings_.add(Rule::kLost,
                sentence("group ", groups_.text(subscription.group), " was never granted ",
                         messages_.text(placed.message),
                         trim == nullptr ? "" : ", which retention cut before its time"),
                {message.invoked, placed.event, trim == nullptr ? ending_.drained : trim->event});
}

bool Loss::has_groups(NameId topic) const {
  return std::any_of(groups_.all().begin(), groups_.all().end(),
                     [&](const TestSubscription& s) { return s.topic == topic; });
}

bool Loss::demanded(const TestMessage& message) const {
  if (message.acked == 0 || message.reported) return false;
  if (message.transaction == kNobody) return true;
  const TestTransaction& transaction = transactions_[message.transaction];
  if (transaction.is_decided()) return transaction.committed();
  // Somebody may have rolled it back, and the broker need not know any more.
  if (transaction.rollbacks > 0 && transactions_.may_be_forgotten(transaction)) return false;
  if (transaction.truth != Truth::kCommitted || open_.contains(message.transaction)) return false;
  return transaction.seen != TransactionState::kParked || ending_.resumed != 0;
}

std::uint64_t Loss::unseen_below_floor(NameId topic, EventNumber after) {
  std::uint64_t unseen = 0;
  for (const TestQueue& queue : messages_.queues()) {
    if (queue.topic != topic || queue.trims.empty() || queue.trims.back().event < after) continue;
    unseen += queue.floor();
    for (const auto& [offset, placed] : queue.places) {
      if (offset < queue.floor()) --unseen;
    }
  }
  return unseen;
}

void Loss::without_place() {
  for (MessageIndex at = 0; at < messages_.all().size(); ++at) {
    const TestMessage& message = messages_[at];
    if (message.copies != 0 || !demanded(message) || !has_groups(message.topic)) continue;
    std::uint64_t& excused = excused_[message.topic];
    if (excused < unseen_below_floor(message.topic, message.acked)) {
      ++excused;
      continue;
    }
    ++lost_[message.topic];
    EventNumber decided = 0;
    std::string why = " was acknowledged";
    if (message.transaction != kNobody) {
      const TestTransaction& transaction = transactions_[message.transaction];
      decided = transaction.is_decided() ? transaction.decided : transaction.truth_event;
      why = sentence(" of transaction ", transactions_.text(message.transaction),
                     transaction.is_decided() ? " was committed"
                                              : " was committed in the producer's database");
    }
    findings_.add(Rule::kLost,
                  sentence(messages_.text(at), why, ", but no group was ever granted it"),
                  {message.invoked, message.acked, decided, ending_.drained});
  }
}

void Loss::gaps() {
  for (QueueIndex at = 0; at < messages_.queues().size(); ++at) {
    const TestQueue& queue = messages_.queue(at);
    if (queue.end <= queue.floor() || !has_groups(queue.topic)) continue;
    std::uint64_t holes = queue.end - queue.floor();
    for (const auto& [offset, placed] : queue.places) {
      if (offset >= queue.floor()) --holes;
    }
    std::uint64_t& lost = lost_[queue.topic];
    const std::uint64_t explained = std::min(holes, lost);
    lost -= explained;
    holes -= explained;
    if (holes == 0) continue;
    std::uint64_t hole = queue.floor();
    while (queue.places.contains(hole)) ++hole;
    const auto before = queue.places.find(hole - 1);
    findings_.add(Rule::kPosition,
                  sentence("no message was ever seen at ", messages_.text(at, hole),
                           ", though the queue goes on to ", queue.end - 1),
                  {before == queue.places.end() ? 0 : before->second.event,
                   queue.places.at(queue.end - 1).event, ending_.drained});
  }
}

}  // namespace tally::test
