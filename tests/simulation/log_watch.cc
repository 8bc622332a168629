#include "tests/simulation/log_watch.h"

namespace tally::simulation {

using store::RecordType;

void LogWatch::seen(const store::EntryView& entry) {
  const std::uint64_t index = entry.header.index.value;
  if (index <= checksums_.size()) {
    if (checksums_[index - 1] != entry.header.checksum) {
      observer_.violate(test::Rule::kRestart,
                        "entry " + std::to_string(index) + " is another one after a restart");
    }
    return;
  }
  checksums_.push_back(entry.header.checksum);
  times_[entry.header.lsn.value] = entry.header.time_ms;
  for (const store::RecordView& record : entry.records) {
    observer_.trace("log", "entry ", index, " LSN ", record.header.lsn.value, " ",
                    store::name(record.header.type));
    seen(entry.header, record);
  }
}

void LogWatch::seen(const store::EntryHeader& entry, const store::RecordView& record) {
  const auto& header = record.header;
  const auto decoded = [&]<typename Extension>() {
    return *store::decode<Extension>(header, record.extension);
  };
  switch (header.type) {
    case RecordType::kTopicChange:
      topics_[header.topic.value] = decoded.operator()<store::TopicChangeExtension>().name;
      break;
    case RecordType::kGroupChange: {
      const auto change = decoded.operator()<store::GroupChangeExtension>();
      groups_[change.group.value] = change.name;
      observer_.add("broker", test::Subscribed{change.name, topics_[header.topic.value]});
      break;
    }
    case RecordType::kAppend:
    case RecordType::kHalf:
      topic_of_[header.lsn.value] = header.topic.value;
      observer_.half_stored(header.lsn, header.block_checksum);
      break;
    case RecordType::kPark:
      parked_.emplace(decoded.operator()<store::ParkExtension>().transaction);
      break;
    case RecordType::kResume:
      parked_.erase(std::string(decoded.operator()<store::ResumeExtension>().transaction));
      break;
    case RecordType::kEnd: {
      const auto end = decoded.operator()<store::EndExtension>();
      const bool late = end.decision == Decision::kCommit && end.decider == Decider::kProducer;
      if (late && parked_.contains(end.transaction)) observer_.hit(Race::kCommitAfterPark);
      if (end.decider != Decider::kBroker) break;
      observer_.add("broker", test::TransactionSeen{.transaction = observer_.name_of(
                                                        std::string(end.transaction), end.handle),
                                                    .state = TransactionState::kRolledBack,
                                                    .decided_by = Decider::kBroker,
                                                    .decided_at_ms = entry.time_ms});
      break;
    }
    case RecordType::kSettle:
    case RecordType::kLeaseExpired:
      settled(entry.index.value, record);
      break;
    case RecordType::kRetain:
      retained(entry, record);
      break;
    default:
      break;
  }
}

/// The rule of settling, once more: who comes first with the current attempt. When the lease of the last attempt runs out,
/// the broker gives up by itself, and no client hears of it.
void LogWatch::settled(std::uint64_t index, const store::RecordView& record) {
  const auto settle = store::decode<store::SettleExtension>(record.header, record.extension);
  const std::uint32_t topic = record.header.topic.value;
  for (const store::SettleEntry& item : settle->items) {
    Standing& standing = standings_[{settle->group.value, {topic, item.queue}, item.offset}];
    if (standing.settled || item.attempt != standing.attempt) continue;
    if (SettleAction(item.action) == SettleAction::kNack &&
        standing.attempt < options_.attempts_max) {
      ++standing.attempt;
      continue;
    }
    standing.settled = true;
    if (record.header.type != RecordType::kLeaseExpired) continue;
    observer_.add("broker", test::DeadLettered{.group = groups_[settle->group.value],
                                               .topic = topics_[topic],
                                               .queue = item.queue,
                                               .offset = item.offset,
                                               .applied = index});
  }
}

void LogWatch::retained(const store::EntryHeader& entry, const store::RecordView& record) {
  const auto retain = store::decode<store::RetainExtension>(record.header, record.extension);
  const std::uint32_t topic = record.header.topic.value;
  for (const store::RetainFloor& floor : retain->floors) {
    std::uint64_t& known = floors_[{topic, floor.queue}];
    known = std::max(known, floor.first);
    observer_.add("broker",
                  test::Trimmed{.topic = topics_[topic],
                                .queue = floor.queue,
                                .floor = floor.first,
                                .published_before_ms = entry.time_ms - options_.retention_ms});
  }
  const auto behind = times_.lower_bound(retain->horizon.value);
  if (retain->horizon == Lsn(0) || behind == times_.begin()) return;
  observer_.add("broker", test::Forgotten{.decided_before_ms = std::prev(behind)->second + 1});
}

bool LogWatch::given_up(const DeliveryHeader& delivery) const {
  const auto topic = topic_of_.find(delivery.lsn.value);
  if (topic == topic_of_.end()) return false;
  const auto floor = floors_.find({topic->second, delivery.queue.value});
  return floor != floors_.end() && delivery.offset.value < floor->second;
}

}  // namespace tally::simulation
