#include "store/record_extensions.h"

#include <catch2/catch.hpp>

namespace tally::store {
namespace {

RecordHeader header_of(RecordType type, std::uint8_t flags = 0) {
  RecordHeader header;
  header.type = type;
  header.flags = flags;
  return header;
}

template <typename Extension>
std::string bytes_of(const Extension& extension) {
  std::string bytes;
  encode(extension, bytes);
  return bytes;
}

/// Round trip by bytes, and refusal of every other length, type and flag.
template <typename Extension>
Extension round_trip(const Extension& from, const RecordHeader& header, const std::string& bytes) {
  const auto read = decode<Extension>(header, bytes);
  REQUIRE(read);
  CHECK(bytes_of(*read) == bytes);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CHECK_FALSE(decode<Extension>(header, std::string_view(bytes).substr(0, size)));
  }
  CHECK_FALSE(decode<Extension>(header, bytes + '\0'));
  CHECK_FALSE(decode<Extension>(header_of(RecordType::kMark), bytes));
  CHECK_FALSE(decode<Extension>(header_of(header.type, 0x80), bytes));
  CHECK(bytes_of(from) == bytes);
  return *read;
}

TEST_CASE("settings survive the log") {
  ConfigExtension config;
  config.first_check_ms = 10'000;
  config.check_backoff_max_ms = 300'000;
  config.check_budget = 15;
  config.transaction_lifetime_ms = 86'400'000;
  config.attempts_max = 16;
  config.retry_backoff_ms = 1'000;
  config.retry_backoff_max_ms = 7'200'000;
  const std::string bytes = bytes_of(config);
  CHECK(round_trip(config, header_of(RecordType::kConfig), bytes) == config);
}

TEST_CASE("floors and the horizon survive the log") {
  const RetainExtension retain{.horizon = Lsn(4096), .floors = {{0, 7}, {3, 1ull << 40}}};
  const std::string bytes = bytes_of(retain);
  const auto read = round_trip(retain, header_of(RecordType::kRetain), bytes);
  CHECK(read.horizon == retain.horizon);
  CHECK(read.floors == retain.floors);
  CHECK(decode<RetainExtension>(header_of(RecordType::kRetain), bytes_of(RetainExtension{})));
}

TEST_CASE("how far the retention clock is behind survives the log") {
  const ClockExtension clock{.behind_ms = -86'400'000};
  const std::string bytes = bytes_of(clock);
  CHECK(round_trip(clock, header_of(RecordType::kClock), bytes).behind_ms == -86'400'000);
}

TEST_CASE("a topic's own retention survives the log, and is over 0") {
  const TopicChangeExtension topic{.queues = 4, .name = "t", .retention_ms = 60'000};
  const std::string bytes = bytes_of(topic);
  const auto header = header_of(RecordType::kTopicChange, topic.flags());
  CHECK(round_trip(topic, header, bytes).retention_ms == 60'000);
  const std::string zero = bytes.substr(0, bytes.size() - 8) + std::string(8, '\0');
  CHECK_FALSE(decode<TopicChangeExtension>(header, zero));
}

TEST_CASE("topics and groups survive the log") {
  const TopicChangeExtension topic{.queues = 4, .name = "order.created"};
  const std::string topic_bytes = bytes_of(topic);
  const auto read = round_trip(topic, header_of(RecordType::kTopicChange), topic_bytes);
  CHECK(read.queues == 4);
  CHECK(read.name == "order.created");
  const GroupChangeExtension group{.group = GroupUid(3), .name = "billing"};
  const std::string group_bytes = bytes_of(group);
  CHECK(round_trip(group, header_of(RecordType::kGroupChange), group_bytes).name == "billing");
}

TEST_CASE("an append carries its producer only when it has one") {
  const AppendExtension plain{.route_hash = 1, .tag_hash = 2};
  const std::string plain_bytes = bytes_of(plain);
  CHECK(plain_bytes.size() == 8);
  round_trip(plain, header_of(RecordType::kAppend, plain.flags()), plain_bytes);
  const AppendExtension numbered{.route_hash = 1, .tag_hash = 2, .producer = 77, .sequence = 5};
  const std::string bytes = bytes_of(numbered);
  const auto read = round_trip(numbered, header_of(RecordType::kAppend, numbered.flags()), bytes);
  CHECK(read.producer == 77);
  CHECK(read.sequence == 5);
  CHECK_FALSE(decode<AppendExtension>(header_of(RecordType::kAppend), bytes));
}

TEST_CASE("a half survives the log with all that its check needs") {
  HalfExtension half;
  half.route_hash = 9;
  half.content_digest = 0xfeed;
  half.message = 2;
  half.first_check_ms = 1'000;
  half.lifetime_ms = 60'000;
  half.store.bytes.fill(7);
  half.transaction = "t-1";
  half.group = "pay";
  half.client = "host-1";
  const std::string bytes = bytes_of(half);
  const auto read = round_trip(half, header_of(RecordType::kHalf), bytes);
  CHECK(read.transaction == "t-1");
  CHECK(read.store == half.store);
  CHECK_FALSE(read.fresh);
  CHECK_FALSE(read.later);
  CHECK(decode<HalfExtension>(header_of(RecordType::kHalf, HalfExtension::kFresh), bytes)->fresh);
  CHECK(decode<HalfExtension>(header_of(RecordType::kHalf, HalfExtension::kLater), bytes)->later);
}

TEST_CASE("an end survives the log, and only commit and rollback are ends") {
  EndExtension end;
  end.decision = Decision::kRollback;
  end.decider = Decider::kOperator;
  end.messages = 3;
  end.handle.lsn = Lsn(4096);
  end.handle.time_ms = -1;
  end.transaction = "t-1";
  end.reason = "asked for";
  std::string bytes = bytes_of(end);
  const auto read = round_trip(end, header_of(RecordType::kEnd), bytes);
  CHECK(read.decision == Decision::kRollback);
  CHECK(read.handle == end.handle);
  CHECK(read.reason == "asked for");
  bytes[0] = 3;
  CHECK_FALSE(decode<EndExtension>(header_of(RecordType::kEnd), bytes));
  bytes[0] = 1;
  bytes[1] = 5;
  CHECK_FALSE(decode<EndExtension>(header_of(RecordType::kEnd), bytes));
}

TEST_CASE("checks, parking and resuming survive the log") {
  const CheckDeliveredExtension check{.attempt = 2, .transaction = "t", .client = "c"};
  const std::string check_bytes = bytes_of(check);
  CHECK(round_trip(check, header_of(RecordType::kCheckDelivered), check_bytes).attempt == 2);
  const ParkExtension park{.transaction = "t", .reason = "budget"};
  const std::string park_bytes = bytes_of(park);
  CHECK(round_trip(park, header_of(RecordType::kPark), park_bytes).reason == "budget");
  const ResumeExtension resume{.transaction = "t", .reason = "operator"};
  const std::string resume_bytes = bytes_of(resume);
  CHECK(round_trip(resume, header_of(RecordType::kResume), resume_bytes).reason == "operator");
}

TEST_CASE("settles and expired leases survive the log") {
  SettleExtension settle;
  settle.group = GroupUid(2);
  settle.items.push_back({.action = 1, .queue = 3, .offset = 1ull << 40, .attempt = 1});
  settle.items.push_back({.action = 2, .queue = 0, .offset = 9, .attempt = 4, .delay_ms = 50});
  const std::string bytes = bytes_of(settle);
  const auto read = round_trip(settle, header_of(RecordType::kSettle), bytes);
  REQUIRE(read.items.size() == 2);
  CHECK(read.items[0].offset == 1ull << 40);
  CHECK(read.items[1].delay_ms == 50);
  CHECK(decode<SettleExtension>(header_of(RecordType::kLeaseExpired), bytes));
}

}  // namespace
}  // namespace tally::store
