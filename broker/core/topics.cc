#include "broker/core/topics.h"

#include <algorithm>

#include "broker/core/index_keys.h"
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

Topic* Topics::find(std::string_view name) {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

Topic* Topics::find(TopicUid uid) {
  return uid.value < by_uid_.size() ? by_uid_[uid.value].get() : nullptr;
}

Topic& Topics::make(TopicUid uid, std::string_view name, std::uint32_t queues) {
  if (by_uid_.size() <= uid.value) by_uid_.resize(uid.value + 1);
  auto& topic = by_uid_[uid.value];
  topic = std::make_unique<Topic>();
  topic->uid = uid;
  topic->name = name;
  topic->queues.resize(queues);
  by_name_.emplace(topic->name, topic.get());
  newest_uid_ = std::max(newest_uid_, uid.value);
  return *topic;
}

TopicInfo Topics::info(const Topic& topic) {
  TopicInfo info{.uid = topic.uid, .name = topic.name, .queues = {}};
  for (std::uint32_t i = 0; i < topic.queues.size(); ++i) {
    info.queues.push_back(
        {.queue = QueueId(i), .first = Offset(0), .next = Offset(topic.queues[i].next)});
  }
  return info;
}

void Topics::admit_create(const Waiter& waiter, const CreateTopicRequest& request) {
  if (find(request.topic) == nullptr &&
      by_name_.size() + in_flight_ >= context_.options.topics_max) {
    return context_.refuse(waiter, ErrorCode::kTooManyTopics,
                           "there are " + std::to_string(by_name_.size()) + " topics");
  }
  ++in_flight_;
  context_.proposals.propose(
      waiter, context_.now_ms(), TopicUid(++newest_uid_), 0,
      store::TopicChangeExtension{
          .queues = request.queues != 0 ? request.queues : limits::kQueuesDefault,
          .name = request.topic});
}

bool Topics::apply_create(const Applying& applying) {
  const auto& header = applying.record.header;
  const auto change = store::decode<store::TopicChangeExtension>(header, applying.record.extension);
  if (!change || header.topic.value == 0) return false;
  if (context_.serving) --in_flight_;
  Topic* topic = find(change->name);
  if (topic == nullptr) {
    topic = &make(header.topic, change->name, change->queues);
    new_topics_.push_back(topic);
  } else if (topic->queues.size() != change->queues) {
    context_.refuse(
        applying.waiter, ErrorCode::kTopicExists,
        "topic " + topic->name + " has " + std::to_string(topic->queues.size()) + " queues");
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
  const store::AppendExtension extension{.route_hash = command.route_hash,
                                         .tag_hash = command.tag_hash,
                                         .producer = request.producer,
                                         .sequence = request.sequence};
  context_.proposals.propose(waiter, context_.now_ms(), topic->uid, extension.flags(), extension,
                             command.block, command.block_checksum);
  context_.proposals.keep(bytes);
}

bool Topics::apply_append(const Applying& applying) {
  const auto& header = applying.record.header;
  const auto append = store::decode<store::AppendExtension>(header, applying.record.extension);
  Topic* topic = find(header.topic);
  if (!append || topic == nullptr) return false;
  const Place place = publish(*topic,
                              {.lsn = header.lsn,
                               .block_bytes = header.block_bytes,
                               .tag_hash = append->tag_hash,
                               .extension_bytes = header.extension_bytes},
                              append->route_hash);
  ++context_.counters.sends;
  if (applying.waiter.session.value != 0) {
    context_.answer(applying.waiter, Response(SendResponse{header.lsn, place.queue, place.offset}));
  }
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
  if (!queue.dirty) {
    queue.dirty = true;
    dirty_.emplace_back(&topic, at);
  }
  if (queue.tail.size() == kBlockOffsets) {
    const BlockKey key{topic.uid, QueueId(at), place.offset.value / kBlockOffsets};
    context_.checkpoint.put(keys::block(context_.shard, key.topic, key.queue, key.number),
                            encode_block(queue.tail));
    blocks_.insert_unsaved(key, std::move(queue.tail));
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
  const std::uint64_t tail = at.next - at.tail.size();
  if (offset >= tail) return &at.tail[offset - tail];
  const auto* block = blocks_.find({topic.uid, QueueId(queue), offset / kBlockOffsets});
  if (block == nullptr) return nullptr;
  TALLY_CHECK(offset % kBlockOffsets < block->size());
  return &(*block)[offset % kBlockOffsets];
}

void Topics::collect() {
  auto& checkpoint = context_.checkpoint;
  for (const Topic* topic : new_topics_) {
    std::string value;
    put_varint(value, topic->queues.size());
    value.append(topic->name);
    checkpoint.put(keys::topic(context_.shard, topic->uid), std::move(value));
  }
  new_topics_.clear();
  for (const auto& [topic, at] : dirty_) {
    Queue& queue = topic->queues[at];
    queue.dirty = false;
    std::string next;
    put_varint(next, queue.next);
    checkpoint.put(keys::queue(context_.shard, topic->uid, QueueId(at)), std::move(next));
    if (queue.tail.empty()) continue;
    checkpoint.put(keys::block(context_.shard, topic->uid, QueueId(at), queue.next / kBlockOffsets),
                   encode_block(queue.tail));
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
        if (!reader.done() || !in.ok() || uid.value == 0 || queues == 0) return false;
        make(uid, in.get_bytes(in.left()), queues);
        return true;
      }));
  std::vector<std::pair<Topic*, std::uint32_t>> with_tail;
  TALLY_TRY_VOID(
      restore_rows(context_, index, 'n', [&](std::string_view key, std::string_view value) {
        keys::KeyReader reader(key);
        Topic* topic = find(TopicUid(reader.u32()));
        const std::uint32_t queue = reader.u32();
        ByteReader in(value);
        const std::uint64_t next = get_varint(in);
        if (!reader.done() || !in.done() || topic == nullptr || queue >= topic->queues.size())
          return false;
        topic->queues[queue].next = next;
        topic->published += next;
        if (next % kBlockOffsets != 0) with_tail.emplace_back(topic, queue);
        return true;
      }));
  for (const auto& [topic, at] : with_tail) {
    Queue& queue = topic->queues[at];
    const std::string key =
        keys::block(context_.shard, topic->uid, QueueId(at), queue.next / kBlockOffsets);
    TALLY_TRY(auto value, index.get(key));
    auto tail = value ? decode_block(*value) : std::nullopt;
    if (!tail || tail->size() != queue.next % kBlockOffsets) {
      return Error(ErrorCode::kDataDamaged,
                   "the index lacks the newest block of a queue of " + topic->name);
    }
    queue.tail = std::move(*tail);
  }
  return {};
}

}  // namespace tally::broker
