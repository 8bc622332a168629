#include "tests/support/history_messages.h"

namespace tally::test {

const Trim* TestQueue::trim_of(std::uint64_t offset) const {
  const auto at =
      std::upper_bound(trims.begin(), trims.end(), offset,
                       [](std::uint64_t o, const Trim& trim) { return o < trim.floor; });
  return at == trims.end() ? nullptr : &*at;
}

std::optional<MessageIndex> Messages::send_invoked(EventNumber event, const SendInvoked& send) {
  return invoked(event, {.content = send.content,
                         .topic = names_.of(send.topic),
                         .message_group = names_.of(send.message_group),
                         .producer = send.producer,
                         .sequence = send.sequence});
}

std::optional<MessageIndex> Messages::half_invoked(EventNumber event, const PrepareInvoked& half,
                                                   TransactionIndex transaction) {
  return invoked(event, {.content = half.content,
                         .topic = names_.of(half.topic),
                         .message_group = names_.of(half.message_group),
                         .transaction = transaction,
                         .number = half.message});
}

std::optional<MessageIndex> Messages::invoked(EventNumber event, const TestMessage& message) {
  const auto [at, added] =
      by_content_.try_emplace(message.content, static_cast<MessageIndex>(messages_.size()));
  if (added) {
    messages_.push_back(message);
    messages_.back().invoked = event;
  }
  TestMessage& known = messages_[at->second];
  const bool same = known.topic == message.topic && known.message_group == message.message_group &&
                    known.producer == message.producer && known.sequence == message.sequence &&
                    known.transaction == message.transaction && known.number == message.number;
  if (!same) {
    findings_.add(Rule::kMalformed,
                  sentence("content ", message.content, " is given to two different messages"),
                  {known.invoked, event});
    return std::nullopt;
  }
  ++known.attempts;
  return at->second;
}

void Messages::acked(EventNumber event, MessageIndex index) {
  TestMessage& message = messages_[index];
  ++message.acks;
  if (message.acked == 0) message.acked = event;
  message.acked_last = event;
  only_one(event, index);
}

void Messages::failed(EventNumber event, MessageIndex index) {
  TestMessage& message = messages_[index];
  ++message.failed;
  if (message.reported) return;
  if (!message.may_exist() && message.placed != 0) {
    message.reported = true;
    findings_.add(Rule::kPhantom,
                  sentence(text(index), " exists, but every attempt to send it was refused"),
                  {message.placed, event});
  } else {
    not_too_many(event, index);
  }
}

bool Messages::only_one(EventNumber event, MessageIndex index) {
  TestMessage& message = messages_[index];
  if (!message.once()) return true;
  const bool half = message.transaction != kNobody;
  auto& stored = half ? by_number_ : by_sequence_;
  const Pair key =
      half ? Pair{message.transaction, message.number} : Pair{message.producer, message.sequence};
  const auto [at, added] = stored.try_emplace(key, index);
  if (added || at->second == index || message.reported) return true;
  const TestMessage& other = messages_[at->second];
  message.reported = true;
  findings_.add(Rule::kDuplicate,
                half ? sentence("half ", message.number, " of one transaction was stored as ",
                                text(at->second), " and as ", text(index))
                     : sentence("sequence ", message.sequence, " of producer ", message.producer,
                                " was stored as ", text(at->second), " and as ", text(index)),
                {other.placed != 0 ? other.placed : other.acked, event});
  return false;
}

bool Messages::not_too_many(EventNumber event, MessageIndex index) {
  TestMessage& message = messages_[index];
  const std::uint32_t most = message.once() ? 1 : message.attempts - message.failed;
  if (message.copies <= most || message.reported) return true;
  message.reported = true;
  findings_.add(Rule::kDuplicate,
                sentence(text(index), " was stored ", message.copies, " times, but at most ", most,
                         most == 1 ? " copy was asked for" : " copies were asked for"),
                {message.invoked, message.placed, event});
  return false;
}

std::optional<MessageIndex> Messages::seen(EventNumber event, Content content, NameId topic,
                                           const std::string* message_group) {
  const auto found = by_content_.find(content);
  if (found == by_content_.end()) {
    findings_.add(Rule::kPhantom,
                  sentence("message ", content, " came out of topic ", names_.text(topic),
                           ", but nobody sent it"),
                  {event});
    return std::nullopt;
  }
  TestMessage& message = messages_[found->second];
  std::string how;
  if (!message.may_exist()) {
    how = ", but every attempt to send it was refused";
  } else if (message.topic != topic) {
    how = ", but it was sent to topic " + names_.text(message.topic);
  } else if (message_group != nullptr && names_.of(*message_group) != message.message_group) {
    how = sentence(" with message group '", *message_group, "', but it was sent with '",
                   names_.text(message.message_group), "'");
  }
  if (how.empty()) return found->second;
  if (!message.reported) {
    message.reported = true;
    findings_.add(Rule::kPhantom,
                  sentence("message ", content, " came out of topic ", names_.text(topic), how),
                  {message.invoked, event});
  }
  return std::nullopt;
}

bool Messages::place(EventNumber event, MessageIndex index, const Place& place) {
  const QueueIndex queue_at = queue_index(place.topic, place.queue);
  TestQueue& queue = queues_[queue_at];
  const auto [at, added] = queue.places.try_emplace(
      place.offset, PlacedMessage{.message = index, .lsn = place.lsn, .event = event});
  PlacedMessage& there = at->second;
  if (!added) {
    if (there.message != index) {
      messages_[index].reported = true;
      findings_.add(
          Rule::kPosition,
          sentence(text(queue_at, place.offset), " held message ", messages_[there.message].content,
                   " and then message ", messages_[index].content),
          {there.event, event});
      return false;
    }
    if (there.lsn == 0) there.lsn = place.lsn;
    if (place.lsn == 0 || there.lsn == place.lsn) return true;
    findings_.add(Rule::kPosition,
                  sentence(text(index), " had the id ", there.lsn, " and then ", place.lsn),
                  {there.event, event});
    return false;
  }
  queue.end = std::max(queue.end, place.offset + 1);
  TestMessage& message = messages_[index];
  if (message.copies++ == 0) {
    message.queue = queue_at;
    message.offset = place.offset;
    message.placed = event;
  }
  if (!not_too_many(event, index) || !only_one(event, index)) return false;
  keep_order(event, index, queue_at, place.offset);
  return true;
}

void Messages::keep_order(EventNumber event, MessageIndex index, QueueIndex queue_at,
                          std::uint64_t offset) {
  const TestMessage& message = messages_[index];
  if (message.message_group == 0) return;
  auto& offsets = queues_[queue_at].ordered[message.message_group];
  offsets.insert(std::upper_bound(offsets.begin(), offsets.end(), offset), offset);
  const auto [at, added] =
      queue_of_order_.try_emplace({message.topic, message.message_group}, queue_at);
  if (added || at->second == queue_at) return;
  const auto& before = queues_[at->second];
  const std::uint64_t first = before.ordered.at(message.message_group).front();
  findings_.add(Rule::kOrder,
                sentence("message group '", names_.text(message.message_group),
                         "' is spread over two queues, ", text(at->second, first), " and ",
                         text(queue_at, offset)),
                {before.places.at(first).event, event});
}

void Messages::trimmed(EventNumber event, const Trimmed& trim) {
  TestQueue& queue = queues_[queue_index(names_.of(trim.topic), trim.queue)];
  if (trim.floor <= queue.floor()) return;
  queue.trims.push_back(
      {.floor = trim.floor, .published_before_ms = trim.published_before_ms, .event = event});
}

QueueIndex Messages::queue_index(NameId topic, std::uint32_t number) {
  const auto [at, added] =
      queue_ids_.try_emplace({topic, number}, static_cast<QueueIndex>(queues_.size()));
  if (added) {
    queues_.emplace_back();
    queues_.back().topic = topic;
    queues_.back().number = number;
  }
  return at->second;
}

std::string Messages::text(MessageIndex index) const {
  const TestMessage& message = messages_[index];
  if (message.placed == 0)
    return sentence("message ", message.content, " of topic ", names_.text(message.topic));
  return sentence("message ", message.content, " at ", text(message.queue, message.offset));
}

std::string Messages::text(QueueIndex index, std::uint64_t offset) const {
  const TestQueue& queue = queues_[index];
  return sentence(names_.text(queue.topic), "/", queue.number, "/", offset);
}

}  // namespace tally::test
