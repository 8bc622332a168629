// Topics and groups.

#include "protocol/base/limits.h"
#include "protocol/base/names.h"
#include "protocol/wire/convert.h"

namespace tally::wire {
namespace {

void write_topic(const TopicInfo& from, pb::TopicInfo& to) {
  to.set_uid(from.uid.value);
  to.set_name(from.name);
  for (const QueueInfo& queue : from.queues) {
    pb::QueueInfo& added = *to.add_queues();
    added.set_queue(queue.queue.value);
    added.set_first(queue.first.value);
    added.set_next(queue.next.value);
  }
  to.set_retention_ms(from.retention_ms);
  if (from.checks != CheckSettings{}) to_wire(from.checks, *to.mutable_checks());
}

Result<void> read_topic(const pb::TopicInfo& from, TopicInfo& to) {
  to.uid = TopicUid{from.uid()};
  to.name = from.name();
  to.queues.reserve(static_cast<std::size_t>(from.queues_size()));
  for (const pb::QueueInfo& queue : from.queues()) {
    to.queues.push_back({QueueId{queue.queue()}, Offset{queue.first()}, Offset{queue.next()}});
  }
  to.retention_ms = from.retention_ms();
  return from_wire(from.checks(), to.checks);
}

void write_group(const GroupInfo& from, pb::GroupInfo& to) {
  to.set_name(from.name);
  for (const GroupQueueInfo& queue : from.queues) {
    pb::GroupQueueInfo& added = *to.add_queues();
    added.set_topic(queue.topic);
    added.set_queue(queue.queue.value);
    added.set_floor(queue.floor.value);
    added.set_next(queue.next.value);
    added.set_settled_above_floor(queue.settled_above_floor);
    added.set_retrying(queue.retrying);
    added.set_dead_lettered(queue.dead_lettered);
    added.set_unsettled(queue.unsettled);
    added.set_lost(queue.lost);
    added.set_damaged(queue.damaged);
  }
}

void read_group(const pb::GroupInfo& from, GroupInfo& to) {
  to.name = from.name();
  to.queues.reserve(static_cast<std::size_t>(from.queues_size()));
  for (const pb::GroupQueueInfo& queue : from.queues()) {
    to.queues.push_back({.topic = queue.topic(),
                         .queue = QueueId{queue.queue()},
                         .floor = Offset{queue.floor()},
                         .next = Offset{queue.next()},
                         .settled_above_floor = queue.settled_above_floor(),
                         .retrying = queue.retrying(),
                         .dead_lettered = queue.dead_lettered(),
                         .unsettled = queue.unsettled(),
                         .lost = queue.lost(),
                         .damaged = queue.damaged()});
  }
}

}  // namespace

void to_wire(const CreateTopicRequest& from, pb::CreateTopicRequest& to) {
  to.set_topic(from.topic);
  to.set_queues(from.queues);
  to.set_retention_ms(from.retention_ms);
  if (from.checks != CheckSettings{}) to_wire(from.checks, *to.mutable_checks());
}

Result<void> from_wire(const pb::CreateTopicRequest& from, CreateTopicRequest& to) {
  TALLY_TRY_VOID(check_name("topic", from.topic()));
  TALLY_TRY_VOID(check_range("queues", from.queues(), 0, limits::kQueuesMax));
  TALLY_TRY_VOID(check_range("retention_ms", from.retention_ms(), 0, limits::kRetentionMsMax));
  to.topic = from.topic();
  to.queues = from.queues();
  to.retention_ms = from.retention_ms();
  return from_wire(from.checks(), to.checks);
}

void to_wire(const CreateTopicResponse& from, pb::CreateTopicResponse& to) {
  write_topic(from.topic, *to.mutable_topic());
}

Result<void> from_wire(const pb::CreateTopicResponse& from, CreateTopicResponse& to) {
  return read_topic(from.topic(), to.topic);
}

void to_wire(const ListTopicsRequest& from, pb::ListTopicsRequest& to) {
  to.set_name(from.name);
  to.set_after(from.after);
  to.set_limit(from.limit);
}

Result<void> from_wire(const pb::ListTopicsRequest& from, ListTopicsRequest& to) {
  TALLY_TRY_VOID(check_page("topic", from.name(), from.after(), from.limit()));
  to.name = from.name();
  to.after = from.after();
  to.limit = from.limit();
  return {};
}

void to_wire(const ListTopicsResponse& from, pb::ListTopicsResponse& to) {
  for (const TopicInfo& topic : from.topics) write_topic(topic, *to.add_topics());
  to.set_more(from.more);
}

Result<void> from_wire(const pb::ListTopicsResponse& from, ListTopicsResponse& to) {
  to.topics.reserve(static_cast<std::size_t>(from.topics_size()));
  for (const pb::TopicInfo& topic : from.topics()) {
    TALLY_TRY_VOID(read_topic(topic, to.topics.emplace_back()));
  }
  to.more = from.more();
  return {};
}

void to_wire(const ListGroupsRequest& from, pb::ListGroupsRequest& to) {
  to.set_name(from.name);
  to.set_after(from.after);
  to.set_limit(from.limit);
}

Result<void> from_wire(const pb::ListGroupsRequest& from, ListGroupsRequest& to) {
  TALLY_TRY_VOID(check_page("group", from.name(), from.after(), from.limit()));
  to.name = from.name();
  to.after = from.after();
  to.limit = from.limit();
  return {};
}

void to_wire(const ListGroupsResponse& from, pb::ListGroupsResponse& to) {
  for (const GroupInfo& group : from.groups) write_group(group, *to.add_groups());
  to.set_more(from.more);
}

Result<void> from_wire(const pb::ListGroupsResponse& from, ListGroupsResponse& to) {
  to.groups.reserve(static_cast<std::size_t>(from.groups_size()));
  for (const pb::GroupInfo& group : from.groups()) read_group(group, to.groups.emplace_back());
  to.more = from.more();
  return {};
}

}  // namespace tally::wire
