#include "broker/core/topics.h"

#include <algorithm>

#include "broker/core/index_keys.h"
#include "broker/core/producer_groups.h"
#include "broker/core/varint.h"
#include "protocol/base/check.h"

namespace tally::broker {

Result<void> restore_rows(const Context& context, const store::IndexView& index, char kind,
                          const std::function<bool(std::string_view, std::string_view)>& read) {
  bool understood = true;
  const auto as_kind = keys::Kind(kind);
  TALLY_TRY_VOID(index.scan(
      keys::prefix(context.shard, as_kind), keys::prefix_end(context.shard, as_kind),
      [&](std::string_view key, std::string_view value) { return understood = read(key, value); }));
  if (understood) return {};
  return Error(ErrorCode::kDataDamaged,
               std::string("the index has a row of kind '") + kind + "' that does not decode");
}

std::optional<QueueRow> decode_queue(std::string_view value) {
  ByteReader in(value);
  QueueRow row;
  row.next = get_varint(in);
  row.first = get_varint(in);
  row.erased = get_varint(in);
  if (!in.done() || row.first > row.next) return std::nullopt;
  return row;
}

Topic* Topics::find(std::string_view name) {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

Topic* Topics::find(TopicUid uid) {
  return uid.value < by_uid_.size() ? by_uid_[uid.value].get() : nullptr;
}

Topic& Topics::make(TopicUid uid, std::string_view name, std::uint32_t queues,
                    std::int64_t retention_ms, const CheckSettings& checks) {
  if (by_uid_.size() <= uid.value) by_uid_.resize(uid.value + 1);
  auto& topic = by_uid_[uid.value];
  topic = std::make_unique<Topic>();
  topic->uid = uid;
  topic->name = name;
  topic->retention_ms = retention_ms;
  topic->checks = checks;
  topic->queues.resize(queues);
  if (retention_ms != 0) {
    with_retention_.push_back(topic.get());
    shortest_retention_ms_ = std::min(shortest_retention_ms_, retention_ms);
  }
  by_name_.emplace(topic->name, topic.get());
  newest_uid_ = std::max(newest_uid_, uid.value);
  return *topic;
}

TopicInfo Topics::info(const Topic& topic) {
  TopicInfo info{.uid = topic.uid,
                 .name = topic.name,
                 .queues = {},
                 .retention_ms = topic.retention_ms,
                 .checks = topic.checks};
  for (std::uint32_t i = 0; i < topic.queues.size(); ++i) {
    const Queue& queue = topic.queues[i];
    info.queues.push_back(
        {.queue = QueueId(i), .first = Offset(queue.first), .next = Offset(queue.next)});
  }
  return info;
}

void Topics::admit_create(const Waiter& waiter, const CreateTopicRequest& request) {
  if (request.retention_ms > context_.options.retention_ms) {
    return context_.refuse(waiter, ErrorCode::kOutOfRange,
                           "a topic's retention is at most the broker's, " +
                               std::to_string(context_.options.retention_ms) + " ms");
  }
  if (!context_.has_room(waiter)) return;
  if (find(request.topic) == nullptr &&
      by_name_.size() + in_flight_ >= context_.options.topics_max) {
    return context_.refuse(waiter, ErrorCode::kTooManyTopics,
                           "there are " + std::to_string(by_name_.size()) + " topics");
  }
  ++in_flight_;
  const store::TopicChangeExtension change{
      .queues = request.queues != 0 ? request.queues : limits::kQueuesDefault,
      .name = request.topic,
      .retention_ms = request.retention_ms,
      .checks = request.checks};
  context_.proposals.propose(waiter, context_.now_ms(), TopicUid(++newest_uid_), change.flags(),
                             change);
}

bool Topics::apply_create(const Applying& applying) {
  const auto& header = applying.record.header;
  const auto change = store::decode<store::TopicChangeExtension>(header, applying.record.extension);
  if (!change || header.topic.value == 0) return false;
  if (context_.serving) --in_flight_;
  Topic* topic = find(change->name);
  if (topic == nullptr) {
    topic = &make(header.topic, change->name, change->queues, change->retention_ms, change->checks);
    new_topics_.push_back(topic);
  } else if (topic->queues.size() != change->queues ||
             topic->retention_ms != change->retention_ms || topic->checks != change->checks) {
    std::string retention = topic->retention_ms == 0
                                ? "the broker's retention"
                                : "a retention of " + std::to_string(topic->retention_ms) + " ms";
    if (topic->checks != change->checks) retention.append(", and other settings of checks");
    context_.refuse(applying.waiter, ErrorCode::kTopicExists,
                    "topic " + topic->name + " has " + std::to_string(topic->queues.size()) +
                        " queues and " + retention);
    return true;
  }
  if (applying.waiter.session.value != 0) {
    context_.answer(applying.waiter, Response(CreateTopicResponse{.topic = info(*topic)}));
  }
  return true;
}

void Topics::admit_list(const Waiter& waiter, const ListTopicsRequest& request) {
  ListTopicsResponse response;
  if (!request.name.empty()) {
    const Topic* topic = find(request.name);
    if (topic == nullptr) {
      return context_.refuse(waiter, ErrorCode::kTopicNotFound,
                             "there is no topic " + request.name);
    }
    response.topics.push_back(info(*topic));
    return context_.answer(waiter, Response(std::move(response)));
  }
  std::vector<const Topic*> found;
  for (const auto& [name, topic] : by_name_) {
    if (name > request.after) found.push_back(topic);
  }
  std::sort(found.begin(), found.end(), [](auto* a, auto* b) { return a->name < b->name; });
  const std::size_t limit =
      request.limit != 0 ? std::min(request.limit, limits::kListPageMax) : limits::kListPageMax;
  response.more = found.size() > limit;
  if (response.more) found.resize(limit);
  for (const Topic* topic : found) response.topics.push_back(info(*topic));
  context_.answer(waiter, Response(std::move(response)));
}

void Topics::admit_send(const Waiter& waiter, const Command& command,
                        const store::Keepalive& bytes) {
  const auto& request = std::get<SendRequest>(command.body);
  if (!context_.takes_messages(waiter)) return;
  const Topic* topic = find(request.topic);
  if (topic == nullptr) {
    return context_.refuse(waiter, ErrorCode::kTopicNotFound, "there is no topic " + request.topic);
  }
  if (request.producer != 0 && request.sequence == 0) {
    return context_.refuse(waiter, ErrorCode::kInvalidArgument, "sequences begin at 1");
  }
  if (request.producer != 0 && answer_repeated(waiter, request.producer, request.sequence,
                                               content_of(*topic, command.content_digest))) {
    return;
  }
  const store::AppendExtension extension{.route_hash = command.route_hash,
                                         .tag_hash = command.tag_hash,
                                         .producer = request.producer,
                                         .sequence = request.sequence,
                                         .content_digest = command.content_digest};
  context_.proposals.propose(waiter, context_.now_ms(), topic->uid, extension.flags(), extension,
                             command.block, command.block_checksum);
  context_.proposals.keep(bytes);
}

std::uint64_t Topics::content_of(const Topic& topic, std::uint64_t digest) {
  return fingerprint(topic.uid, 0, digest);
}

bool Topics::answer_repeated(const Waiter& waiter, std::uint64_t producer, std::uint64_t sequence,
                             std::uint64_t content) {
  const auto repeated = producers_.repeated(producer, sequence, content);
  if (!repeated) return false;
  if (*repeated) {
    ++context_.counters.repeated_sends;
    context_.answer(waiter, Response(**repeated));
  } else {
    context_.answer(waiter, repeated->error());
  }
  return true;
}

bool Topics::apply_append(const Applying& applying) {
  const auto& header = applying.record.header;
  const auto append = store::decode<store::AppendExtension>(header, applying.record.extension);
  Topic* topic = find(header.topic);
  if (!append || topic == nullptr) return false;
  const bool numbered = append->producer != 0 && append->sequence != 0;
  const std::uint64_t content = numbered ? content_of(*topic, append->content_digest) : 0;
  if (numbered && answer_repeated(applying.waiter, append->producer, append->sequence, content)) {
    return true;
  }
  const Place place = publish(*topic,
                              {.lsn = header.lsn,
                               .block_bytes = header.block_bytes,
                               .tag_hash = append->tag_hash,
                               .extension_bytes = header.extension_bytes},
                              append->route_hash);
  ++context_.counters.sends;
  const SendResponse response{header.lsn, place.queue, place.offset};
  if (numbered) {
    producers_.sent(append->producer,
                    {.sequence = append->sequence, .fingerprint = content, .place = response});
  }
  if (applying.waiter.session.value != 0) context_.answer(applying.waiter, Response(response));
  return true;
}

Topics::Place Topics::publish(Topic& topic, const MessageRef& message, std::uint32_t route_hash) {
  const auto queues = static_cast<std::uint32_t>(topic.queues.size());
  const auto at =
      static_cast<std::uint32_t>((route_hash != 0 ? route_hash : topic.published) % queues);
  Queue& queue = topic.queues[at];
  const Place place{QueueId(at), Offset(queue.next)};
  queue.tail.push_back(message);
  ++queue.next;
  ++topic.published;
  mark_dirty(topic, at);
  if (queue.next % kBlockOffsets == 0) {
    const BlockKey key{topic.uid, QueueId(at), place.offset.value / kBlockOffsets};
    const auto start = static_cast<std::uint32_t>(kBlockOffsets - queue.tail.size());
    context_.checkpoint.put(keys::block(context_.shard, key.topic, key.queue, key.number),
                            encode_block(start, queue.tail));
    blocks_.insert_unsaved(key, {.start = start, .messages = std::move(queue.tail)});
    queue.tail.clear();
  }
  if (!topic.touched && !topic.subscribers.empty()) {
    topic.touched = true;
    touched_.push_back(&topic);
  }
  return place;
}

const MessageRef* Topics::locate(Topic& topic, std::uint32_t queue, std::uint64_t offset) {
  const Queue& at = topic.queues[queue];
  TALLY_CHECK(offset >= at.first && offset < at.next);
  const std::uint64_t tail = at.next - at.tail.size();
  if (offset >= tail) return &at.tail[offset - tail];
  const auto* block = blocks_.find({topic.uid, QueueId(queue), offset / kBlockOffsets});
  if (block == nullptr) return nullptr;
  const MessageRef* message = block->find(offset);
  TALLY_CHECK(message != nullptr);
  return message;
}

void Topics::mark_dirty(Topic& topic, std::uint32_t queue) {
  if (std::exchange(topic.queues[queue].dirty, true)) return;
  dirty_.emplace_back(&topic, queue);
}

void Topics::raise_first(Topic& topic, std::uint32_t queue, std::uint64_t first) {
  Queue& at = topic.queues[queue];
  first = std::min(first, at.next);
  if (first <= at.first) return;
  const bool was_erasing = at.erased < at.first / kBlockOffsets;
  at.first = first;
  mark_dirty(topic, queue);
  if (!was_erasing && at.erased < at.first / kBlockOffsets) to_erase_.emplace_back(&topic, queue);
}

void Topics::erase_blocks() {
  for (std::size_t left = kErasedBlocksMax; left > 0 && !to_erase_.empty();) {
    const auto [topic, at] = to_erase_.back();
    Queue& queue = topic->queues[at];
    mark_dirty(*topic, at);
    for (; left > 0 && queue.erased < queue.first / kBlockOffsets; --left, ++queue.erased) {
      const BlockKey key{topic->uid, QueueId(at), queue.erased};
      context_.checkpoint.erase(keys::block(context_.shard, key.topic, key.queue, key.number));
      blocks_.erase(key);
    }
    if (queue.erased == queue.first / kBlockOffsets) to_erase_.pop_back();
  }
}

Result<void> Topics::complete() const {
  for (const Gap& gap : gaps_) {
    if (gap.topic->queues[gap.queue].first >= gap.end) continue;
    return Error(ErrorCode::kDataDamaged,
                 "messages of topic " + gap.topic->name + " are kept but cannot be located");
  }
  return {};
}

void Topics::collect() {
  auto& checkpoint = context_.checkpoint;
  erase_blocks();
  for (const Topic* topic : new_topics_) {
    std::string value;
    put_varint(value, topic->queues.size());
    put_varint(value, static_cast<std::uint64_t>(topic->retention_ms));
    put_checks(value, topic->checks);
    value.append(topic->name);
    checkpoint.put(keys::topic(context_.shard, topic->uid), std::move(value));
  }
  new_topics_.clear();
  for (const auto& [topic, at] : dirty_) {
    Queue& queue = topic->queues[at];
    queue.dirty = false;
    std::string row;
    put_varint(row, queue.next);
    put_varint(row, queue.first);
    put_varint(row, queue.erased);
    checkpoint.put(keys::queue(context_.shard, topic->uid, QueueId(at)), std::move(row));
    if (queue.tail.empty()) continue;
    const std::uint64_t start = (queue.next - queue.tail.size()) % kBlockOffsets;
    checkpoint.put(keys::block(context_.shard, topic->uid, QueueId(at), queue.next / kBlockOffsets),
                   encode_block(static_cast<std::uint32_t>(start), queue.tail));
  }
  dirty_.clear();
  blocks_.checkpoint_taken();
}

Result<void> Topics::restore(const store::IndexView& index) {
  TALLY_TRY_VOID(
      restore_rows(context_, index, 't', [&](std::string_view key, std::string_view value) {
        keys::KeyReader reader(key);
        const TopicUid uid(reader.u32());
        ByteReader in(value);
        const std::uint32_t queues = get_varint32(in);
        const auto retention_ms = static_cast<std::int64_t>(get_varint(in));
        const CheckSettings checks = get_checks(in);
        if (!reader.done() || !in.ok() || uid.value == 0 || queues == 0) return false;
        make(uid, in.get_bytes(in.left()), queues, retention_ms, checks);
        return true;
      }));
  std::vector<std::pair<Topic*, std::uint32_t>> with_tail;
  TALLY_TRY_VOID(
      restore_rows(context_, index, 'n', [&](std::string_view key, std::string_view value) {
        keys::KeyReader reader(key);
        Topic* topic = find(TopicUid(reader.u32()));
        const std::uint32_t at = reader.u32();
        const auto row = decode_queue(value);
        if (!reader.done() || !row || topic == nullptr || at >= topic->queues.size()) return false;
        Queue& queue = topic->queues[at];
        queue.next = row->next;
        queue.first = row->first;
        queue.erased = row->erased;
        topic->published += queue.next;
        if (queue.next % kBlockOffsets != 0) with_tail.emplace_back(topic, at);
        if (queue.erased < queue.first / kBlockOffsets) to_erase_.emplace_back(topic, at);
        return true;
      }));
  for (const auto& [topic, at] : with_tail) {
    Queue& queue = topic->queues[at];
    const std::string key =
        keys::block(context_.shard, topic->uid, QueueId(at), queue.next / kBlockOffsets);
    TALLY_TRY(auto value, index.get(key));
    if (!value) {  // a base holds no blocks
      gaps_.push_back({topic, at, queue.next});
      continue;
    }
    auto tail = decode_block(*value);
    if (!tail || tail->start + tail->messages.size() != queue.next % kBlockOffsets) {
      return Error(ErrorCode::kDataDamaged,
                   "the newest block of a queue of " + topic->name + " does not decode");
    }
    queue.tail = std::move(tail->messages);
    if (tail->start != 0) gaps_.push_back({topic, at, queue.next - queue.tail.size()});
  }
  return {};
}

}  // namespace tally::broker
