#include "store/record_extensions.h"

#include <algorithm>
#include <cstring>

#include "protocol/base/bytes.h"

namespace tally::store {
namespace {

template <typename Id>
void put_id(ByteWriter& out, const Id& id) {
  out.put_bytes(id.view());
}

template <typename Id>
Id get_id(ByteReader& in) {
  Id id;
  const std::string_view raw = in.get_bytes(id.bytes.size());
  if (raw.size() == id.bytes.size()) std::memcpy(id.bytes.data(), raw.data(), raw.size());
  return id;
}

bool is_plain(const RecordHeader& header, RecordType type) {
  return header.type == type && header.flags == 0;
}

template <typename Extension>
std::optional<Extension> when_done(const ByteReader& in, Extension&& extension) {
  if (!in.done()) return std::nullopt;
  return std::forward<Extension>(extension);
}

void put_checks(ByteWriter& out, const CheckSettings& checks) {
  out.put(checks.first_check_ms);
  out.put(checks.lifetime_ms);
  out.put(checks.backoff_max_ms);
  out.put(checks.budget);
  out.put(static_cast<std::uint8_t>(checks.on_budget));
}

/// Nothing when they do not make sense.
std::optional<CheckSettings> get_checks(ByteReader& in) {
  CheckSettings checks;
  checks.first_check_ms = in.get<std::int64_t>();
  checks.lifetime_ms = in.get<std::int64_t>();
  checks.backoff_max_ms = in.get<std::int64_t>();
  checks.budget = in.get<std::uint32_t>();
  checks.on_budget = OnBudget(in.get<std::uint8_t>());
  if (std::min({checks.first_check_ms, checks.lifetime_ms, checks.backoff_max_ms}) < 0 ||
      checks.on_budget > OnBudget::kRollback) {
    return std::nullopt;
  }
  return checks;
}

}  // namespace

void encode(const ConfigExtension& from, std::string& to) {
  ByteWriter out(to);
  out.put(from.first_check_ms);
  out.put(from.check_backoff_max_ms);
  out.put(from.check_budget);
  out.put(from.transaction_lifetime_ms);
  out.put(from.attempts_max);
  out.put(from.retry_backoff_ms);
  out.put(from.retry_backoff_max_ms);
}

template <>
std::optional<ConfigExtension> decode(const RecordHeader& header, std::string_view extension) {
  if (!is_plain(header, RecordType::kConfig)) return std::nullopt;
  ByteReader in(extension);
  ConfigExtension to;
  to.first_check_ms = in.get<std::int64_t>();
  to.check_backoff_max_ms = in.get<std::int64_t>();
  to.check_budget = in.get<std::uint32_t>();
  to.transaction_lifetime_ms = in.get<std::int64_t>();
  to.attempts_max = in.get<std::uint32_t>();
  to.retry_backoff_ms = in.get<std::int64_t>();
  to.retry_backoff_max_ms = in.get<std::int64_t>();
  return when_done(in, std::move(to));
}

void encode(const TopicChangeExtension& from, std::string& to) {
  ByteWriter out(to);
  out.put(from.queues);
  out.put_string8(from.name);
  if (from.retention_ms != 0) out.put(from.retention_ms);
  if (from.checks != CheckSettings{}) put_checks(out, from.checks);
}

template <>
std::optional<TopicChangeExtension> decode(const RecordHeader& header, std::string_view extension) {
  if (header.type != RecordType::kTopicChange) return std::nullopt;
  using Extension = TopicChangeExtension;
  if ((header.flags & ~(Extension::kHasRetention | Extension::kHasChecks)) != 0) {
    return std::nullopt;
  }
  ByteReader in(extension);
  TopicChangeExtension to;
  to.queues = in.get<std::uint32_t>();
  to.name = in.get_string8();
  if ((header.flags & Extension::kHasRetention) != 0) {
    to.retention_ms = in.get<std::int64_t>();
    if (to.retention_ms <= 0) return std::nullopt;
  }
  if ((header.flags & Extension::kHasChecks) != 0) {
    const auto checks = get_checks(in);
    if (!checks || *checks == CheckSettings{}) return std::nullopt;
    to.checks = *checks;
  }
  return when_done(in, std::move(to));
}

void encode(const GroupChangeExtension& from, std::string& to) {
  ByteWriter out(to);
  out.put(from.group.value);
  out.put_string8(from.name);
}

template <>
std::optional<GroupChangeExtension> decode(const RecordHeader& header, std::string_view extension) {
  if (!is_plain(header, RecordType::kGroupChange)) return std::nullopt;
  ByteReader in(extension);
  GroupChangeExtension to;
  to.group = GroupUid(in.get<std::uint32_t>());
  to.name = in.get_string8();
  return when_done(in, std::move(to));
}

void encode(const ProducerGroupChangeExtension& from, std::string& to) {
  ByteWriter out(to);
  put_checks(out, from.checks);
  out.put_string8(from.name);
}

template <>
std::optional<ProducerGroupChangeExtension> decode(const RecordHeader& header,
                                                   std::string_view extension) {
  if (!is_plain(header, RecordType::kProducerGroupChange)) return std::nullopt;
  ByteReader in(extension);
  const auto checks = get_checks(in);
  if (!checks) return std::nullopt;
  ProducerGroupChangeExtension to;
  to.checks = *checks;
  to.name = in.get_string8();
  return when_done(in, std::move(to));
}

void encode(const AppendExtension& from, std::string& to) {
  ByteWriter out(to);
  out.put(from.route_hash);
  out.put(from.tag_hash);
  if (from.flags() == 0) return;
  out.put(from.producer);
  out.put(from.sequence);
  if (from.content_digest != 0) out.put(from.content_digest);
}

template <>
std::optional<AppendExtension> decode(const RecordHeader& header, std::string_view extension) {
  if (header.type != RecordType::kAppend) return std::nullopt;
  using Extension = AppendExtension;
  if ((header.flags & ~(Extension::kHasProducer | Extension::kHasDigest)) != 0) return std::nullopt;
  ByteReader in(extension);
  AppendExtension to;
  to.route_hash = in.get<std::uint32_t>();
  to.tag_hash = in.get<std::uint32_t>();
  if (header.flags != 0) {
    to.producer = in.get<std::uint64_t>();
    to.sequence = in.get<std::uint64_t>();
  }
  if ((header.flags & Extension::kHasDigest) != 0) to.content_digest = in.get<std::uint64_t>();
  if (to.flags() != header.flags) return std::nullopt;
  return when_done(in, std::move(to));
}

void encode(const HalfExtension& from, std::string& to) {
  ByteWriter out(to);
  out.put(from.route_hash);
  out.put(from.tag_hash);
  out.put(from.content_digest);
  out.put(from.message);
  out.put(from.first_check_ms);
  out.put(from.lifetime_ms);
  put_id(out, from.store);
  out.put_string8(from.transaction);
  out.put_string8(from.group);
  out.put_string8(from.client);
}

template <>
std::optional<HalfExtension> decode(const RecordHeader& header, std::string_view extension) {
  if (header.type != RecordType::kHalf) return std::nullopt;
  if ((header.flags & ~(HalfExtension::kFresh | HalfExtension::kLater)) != 0) return std::nullopt;
  ByteReader in(extension);
  HalfExtension to;
  to.fresh = (header.flags & HalfExtension::kFresh) != 0;
  to.later = (header.flags & HalfExtension::kLater) != 0;
  to.route_hash = in.get<std::uint32_t>();
  to.tag_hash = in.get<std::uint32_t>();
  to.content_digest = in.get<std::uint64_t>();
  to.message = in.get<std::uint32_t>();
  to.first_check_ms = in.get<std::int64_t>();
  to.lifetime_ms = in.get<std::int64_t>();
  to.store = get_id<StoreId>(in);
  to.transaction = in.get_string8();
  to.group = in.get_string8();
  to.client = in.get_string8();
  return when_done(in, std::move(to));
}

void encode(const EndExtension& from, std::string& to) {
  ByteWriter out(to);
  out.put(static_cast<std::uint8_t>(from.decision));
  out.put(static_cast<std::uint8_t>(from.decider));
  out.put(from.messages);
  put_id(out, from.handle.log);
  out.put(from.handle.lsn.value);
  out.put(from.handle.time_ms);
  out.put_string8(from.transaction);
  out.put_string8(from.group);
  out.put_string8(from.client);
  out.put_string16(from.reason);
}

template <>
std::optional<EndExtension> decode(const RecordHeader& header, std::string_view extension) {
  if (!is_plain(header, RecordType::kEnd)) return std::nullopt;
  ByteReader in(extension);
  EndExtension to;
  to.decision = Decision(in.get<std::uint8_t>());
  to.decider = Decider(in.get<std::uint8_t>());
  to.messages = in.get<std::uint32_t>();
  to.handle.log = get_id<LogId>(in);
  to.handle.lsn = Lsn(in.get<std::uint64_t>());
  to.handle.time_ms = in.get<std::int64_t>();
  to.transaction = in.get_string8();
  to.group = in.get_string8();
  to.client = in.get_string8();
  to.reason = in.get_string16();
  if (to.decision != Decision::kCommit && to.decision != Decision::kRollback) return std::nullopt;
  if (to.decider > Decider::kBroker) return std::nullopt;
  return when_done(in, std::move(to));
}

void encode(const CheckDeliveredExtension& from, std::string& to) {
  ByteWriter out(to);
  out.put(from.attempt);
  out.put_string8(from.transaction);
  out.put_string8(from.client);
}

template <>
std::optional<CheckDeliveredExtension> decode(const RecordHeader& header,
                                              std::string_view extension) {
  if (!is_plain(header, RecordType::kCheckDelivered)) return std::nullopt;
  ByteReader in(extension);
  CheckDeliveredExtension to;
  to.attempt = in.get<std::uint32_t>();
  to.transaction = in.get_string8();
  to.client = in.get_string8();
  return when_done(in, std::move(to));
}

void encode(const CheckAnsweredExtension& from, std::string& to) {
  ByteWriter out(to);
  out.put_string8(from.transaction);
  out.put_string8(from.client);
  out.put_string16(from.reason);
}

template <>
std::optional<CheckAnsweredExtension> decode(const RecordHeader& header,
                                             std::string_view extension) {
  if (!is_plain(header, RecordType::kCheckAnswered)) return std::nullopt;
  ByteReader in(extension);
  CheckAnsweredExtension to;
  to.transaction = in.get_string8();
  to.client = in.get_string8();
  to.reason = in.get_string16();
  return when_done(in, std::move(to));
}

void encode(const ParkExtension& from, std::string& to) {
  ByteWriter out(to);
  out.put_string8(from.transaction);
  out.put_string16(from.reason);
}

template <>
std::optional<ParkExtension> decode(const RecordHeader& header, std::string_view extension) {
  if (!is_plain(header, RecordType::kPark)) return std::nullopt;
  ByteReader in(extension);
  ParkExtension to;
  to.transaction = in.get_string8();
  to.reason = in.get_string16();
  return when_done(in, std::move(to));
}

void encode(const ResumeExtension& from, std::string& to) {
  ByteWriter out(to);
  out.put_string8(from.transaction);
  out.put_string16(from.reason);
}

template <>
std::optional<ResumeExtension> decode(const RecordHeader& header, std::string_view extension) {
  if (!is_plain(header, RecordType::kResume)) return std::nullopt;
  ByteReader in(extension);
  ResumeExtension to;
  to.transaction = in.get_string8();
  to.reason = in.get_string16();
  return when_done(in, std::move(to));
}

void encode(const SettleExtension& from, std::string& to) {
  ByteWriter out(to);
  out.put(from.group.value);
  out.put(static_cast<std::uint16_t>(from.items.size()));
  for (const SettleEntry& item : from.items) {
    out.put(item.action);
    out.put(item.queue);
    out.put(item.offset);
    out.put(item.attempt);
    out.put(item.delay_ms);
  }
}

template <>
std::optional<SettleExtension> decode(const RecordHeader& header, std::string_view extension) {
  if (!is_plain(header, RecordType::kSettle) && !is_plain(header, RecordType::kLeaseExpired)) {
    return std::nullopt;
  }
  ByteReader in(extension);
  SettleExtension to;
  to.group = GroupUid(in.get<std::uint32_t>());
  const auto count = in.get<std::uint16_t>();
  if (count == 0 || in.left() != count * kSettleEntryBytes) return std::nullopt;
  to.items.resize(count);
  for (SettleEntry& item : to.items) {
    item.action = in.get<std::uint8_t>();
    item.queue = in.get<std::uint32_t>();
    item.offset = in.get<std::uint64_t>();
    item.attempt = in.get<std::uint32_t>();
    item.delay_ms = in.get<std::int64_t>();
  }
  return when_done(in, std::move(to));
}

void encode(const RetainExtension& from, std::string& to) {
  ByteWriter out(to);
  out.put(from.horizon.value);
  out.put(static_cast<std::uint32_t>(from.floors.size()));
  for (const RetainFloor& floor : from.floors) {
    out.put(floor.queue);
    out.put(floor.first);
  }
  if (from.horizon_ms != 0) out.put(from.horizon_ms);
}

template <>
std::optional<RetainExtension> decode(const RecordHeader& header, std::string_view extension) {
  if (header.type != RecordType::kRetain) return std::nullopt;
  if ((header.flags & ~RetainExtension::kHasTime) != 0) return std::nullopt;
  ByteReader in(extension);
  RetainExtension to;
  to.horizon = Lsn(in.get<std::uint64_t>());
  const auto count = in.get<std::uint32_t>();
  const std::size_t behind = header.flags != 0 ? sizeof(std::int64_t) : 0;
  if (in.left() != count * kRetainFloorBytes + behind) return std::nullopt;
  to.floors.resize(count);
  for (RetainFloor& floor : to.floors) {
    floor.queue = in.get<std::uint32_t>();
    floor.first = in.get<std::uint64_t>();
  }
  if (header.flags != 0) to.horizon_ms = in.get<std::int64_t>();
  if (to.flags() != header.flags) return std::nullopt;
  return when_done(in, std::move(to));
}

void encode(const ClockExtension& from, std::string& to) { ByteWriter(to).put(from.behind_ms); }

template <>
std::optional<ClockExtension> decode(const RecordHeader& header, std::string_view extension) {
  if (!is_plain(header, RecordType::kClock)) return std::nullopt;
  ByteReader in(extension);
  return when_done(in, ClockExtension{in.get<std::int64_t>()});
}

}  // namespace tally::store
