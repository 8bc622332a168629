// A whole data directory as retention leaves it: the log's first segment is gone, two bases stand for
// what was in it, and every type of record is in what remains. Store and core still write, byte for
// byte, what the golden directory holds; test_golden_data.py opens it with the broker.

#include "broker/core/base_rows.h"
#include "broker/core/broker_core.h"
#include "broker/core/topics.h"
#include "store/base.h"
#include "tests/format/golden_log.h"

namespace tally::testing {
namespace {

using namespace store;

const std::string kShard = "/golden/0";
const std::string kLog = kShard + "/log";
const std::string kBases = kShard + "/base";
const std::filesystem::path kGolden = "tests/format/golden/data-v1";

/// In 2096: nothing of it grows old, whenever the broker is given it.
constexpr std::int64_t kTimeMs = 4'000'000'000'000;
constexpr std::uint32_t kOrders = 1, kEvents = 2;  // topics
constexpr std::uint32_t kBilling = 1, kAudit = 2;  // groups

/// Grows a log segment by segment, and follows it with a core.
class GoldenData {
 public:
  GoldenData() : index_(make_memory_index()), core_({}, ShardId(0), golden_log_id()) {
    core_.restore(*index_).value();
  }

  /// What `write` adds is the next segment.
  template <typename Write>
  void segment(Write write) {
    const std::string path = put_segment(files_, kLog, end_);
    {
      const auto opened = Log::open(files_, golden_options(kLog), {}, visit_nothing()).value();
      GoldenLog log(*opened.log, kTimeMs);
      write(log);
      // As a segment that was taken before it was full, so that the file is no longer than it must be.
      const std::uint64_t bytes = kSegmentHeaderBytes + opened.log->end().value - end_.value;
      files_.set_content(path, files_.content(path).substr(0, bytes));
      end_ = opened.log->end();
    }
    segments_.push_back(path);
    replay();
  }

  Lsn write_base() {
    Lsn oldest_needed = position().next;
    auto writer = BaseWriter::begin(files_, kBases, ShardId(0), position()).value();
    for (const auto kind : broker::base_kinds()) {
      index_
          ->scan(broker::keys::prefix(ShardId(0), kind), broker::keys::prefix_end(ShardId(0), kind),
                 [&](std::string_view key, std::string_view value) {
                   writer.add(key, value).value();
                   if (kind != broker::keys::Kind::kOpen) return true;
                   oldest_needed = std::min(oldest_needed, broker::oldest_half(key, value).value());
                   return true;
                 })
          .value();
    }
    const Lsn lsn = writer.finish(oldest_needed).value().position.next;
    bases_.push_back(kBases + "/" + lsn_name(lsn, ".base"));
    return lsn;
  }

  /// Where the queue's messages from now on begin.
  RetainFloor floor(std::uint32_t topic, std::uint32_t queue) const {
    const auto row =
        index_->get(broker::keys::queue(ShardId(0), TopicUid(topic), QueueId(queue))).value();
    return {.queue = queue, .first = row ? broker::decode_queue(*row)->next : 0};
  }

  MemoryFileSystem& files() { return files_; }
  const std::vector<std::string>& segments() const { return segments_; }
  const std::vector<std::string>& bases() const { return bases_; }

 private:
  static Log::Visitor visit_nothing() {
    return [](const EntryView&) { return Result<void>(); };
  }
  ReplayFrom position() const { return index_->position().value().value_or(ReplayFrom{}); }

  void replay() {
    const auto visit = [&](const EntryView& entry) { return core_.replay(entry); };
    const auto opened = Log::open(files_, golden_options(kLog), position(), visit).value();
    REQUIRE(opened.report.checkpoint_matched);
    index_->write(*core_.take_checkpoint()).value();
    core_.checkpoint_done();
  }

  MemoryFileSystem files_{};
  std::unique_ptr<IndexStore> index_;
  broker::BrokerCore core_;
  Lsn end_{};
  std::vector<std::string> segments_{};
  std::vector<std::string> bases_{};
};

HalfExtension half(std::string_view transaction, std::uint32_t message = 1) {
  return {.route_hash = message,
          .tag_hash = 12,
          .content_digest = 0x0123'4567'89AB'CDEFu + message,
          .message = message,
          .first_check_ms = 1'000,
          .lifetime_ms = 43'200'000,
          .store = id_from<StoreId>(0x80),
          .transaction = transaction,
          .group = "orders",
          .client = "host-1",
          .fresh = message == 1};
}

EndExtension end(std::string_view transaction, Decision decision, Decider decider,
                 std::string_view reason = {}) {
  EndExtension extension;
  extension.decision = decision;
  extension.decider = decider;
  extension.transaction = transaction;
  extension.group = "orders";
  extension.client = "host-1";
  extension.reason = reason;
  return extension;
}

Message message(const std::string& topic, const std::string& body, const std::string& key = {}) {
  return {.topic = topic, .key = key, .tag = "new", .properties = {{"trace", "a1"}}, .body = body};
}

void append(GoldenLog& log, std::uint32_t topic, std::uint32_t route, const std::string& body) {
  const Message sent = message(topic == kOrders ? "orders" : "events", body, "k");
  log.add(RecordType::kAppend, AppendExtension{.route_hash = route, .tag_hash = 12}, topic, 0,
          &sent);
}

Lsn prepare(GoldenLog& log, const HalfExtension& extension) {
  const Message sent = message("orders", "half of " + std::string(extension.transaction));
  return log.add(RecordType::kHalf, extension, kOrders, extension.flags(), &sent);
}

/// Its entry: one record, or all that `write` adds.
template <typename Write>
void entry(GoldenLog& log, Write write) {
  log.begin();
  write();
  log.seal();
}

/// All of it is given up by retention.
void write_first_segment(GoldenLog& log) {
  entry(log, [&] {
    log.add(RecordType::kConfig, ConfigExtension{.first_check_ms = 10'000,
                                                 .check_backoff_max_ms = 300'000,
                                                 .check_budget = 15,
                                                 .transaction_lifetime_ms = 86'400'000,
                                                 .attempts_max = 16,
                                                 .retry_backoff_ms = 1'000,
                                                 .retry_backoff_max_ms = 7'200'000});
    log.add(RecordType::kTopicChange, TopicChangeExtension{.queues = 2, .name = "orders"}, kOrders);
    log.add(RecordType::kGroupChange,
            GroupChangeExtension{.group = GroupUid(kBilling), .name = "billing"}, kOrders);
  });
  entry(log, [&] {
    for (std::uint32_t i = 1; i <= 5; ++i) append(log, kOrders, i, "old " + std::to_string(i));
  });
  entry(log, [&] { prepare(log, half("long ago")); });
  entry(log,
        [&] { log.add(RecordType::kEnd, end("long ago", Decision::kCommit, Decider::kProducer)); });
  log.write();
}

void change_topics_and_groups(GoldenLog& log) {
  const TopicChangeExtension events{.queues = 1,
                                    .name = "events",
                                    .retention_ms = 3'600'000,
                                    .checks = {.budget = 7, .on_budget = OnBudget::kRollback}};
  entry(log, [&] {
    log.add(RecordType::kConfig, ConfigExtension{.first_check_ms = 5'000,
                                                 .check_backoff_max_ms = 200'000,
                                                 .check_budget = 10,
                                                 .transaction_lifetime_ms = 3'600'000,
                                                 .attempts_max = 4,
                                                 .retry_backoff_ms = 500,
                                                 .retry_backoff_max_ms = 60'000});
    log.add(RecordType::kTopicChange, events, kEvents, events.flags());
    log.add(RecordType::kGroupChange,
            GroupChangeExtension{.group = GroupUid(kAudit), .name = "audit"}, kEvents);
    log.add(RecordType::kGroupChange,
            GroupChangeExtension{.group = GroupUid(kBilling), .name = "billing"}, kEvents);
    log.add(RecordType::kProducerGroupChange,
            ProducerGroupChangeExtension{.name = "shop",
                                         .checks = {.first_check_ms = 2'000,
                                                    .lifetime_ms = 60'000,
                                                    .backoff_max_ms = 30'000,
                                                    .budget = 5,
                                                    .on_budget = OnBudget::kPark}});
  });
}

/// Its open transactions outlive the bases, its settles leave a gap and a retry.
void write_second_segment(GoldenLog& log) {
  change_topics_and_groups(log);
  entry(log, [&] {
    prepare(log, half("pending"));
    HalfExtension second = half("pending", 2);
    second.later = true;
    prepare(log, second);
  });
  entry(log, [&] {
    prepare(log, half("parked"));
    prepare(log, half("resumed"));
    prepare(log, half("0123456789abcdef0123456789abcdef"));
  });
  entry(log, [&] {
    for (const std::string_view transaction : {"pending", "parked", "resumed"}) {
      log.add(
          RecordType::kCheckDelivered,
          CheckDeliveredExtension{.attempt = 1, .transaction = transaction, .client = "host-2"});
    }
    log.add(RecordType::kCheckAnswered,
            CheckAnsweredExtension{
                .transaction = "parked", .client = "host-2", .reason = "still running"});
    log.add(RecordType::kPark, ParkExtension{.transaction = "parked", .reason = "no answer"});
    log.add(RecordType::kPark, ParkExtension{.transaction = "resumed", .reason = "no answer"});
    log.add(RecordType::kResume, ResumeExtension{.transaction = "resumed", .reason = "asked for"});
  });
  entry(log, [&] {
    SettleExtension settle{.group = GroupUid(kBilling), .items = {}};
    settle.items.push_back({.action = 1, .queue = 1, .offset = 0, .attempt = 1});
    settle.items.push_back({.action = 1, .queue = 1, .offset = 3, .attempt = 1});
    settle.items.push_back(
        {.action = 2, .queue = 1, .offset = 1, .attempt = 1, .delay_ms = 43'200'000});
    log.add(RecordType::kSettle, settle, kOrders);
  });
  log.write();
}

void write_third_segment(GoldenLog& log, const std::vector<RetainFloor>& floors, Lsn horizon) {
  entry(log, [&] {
    for (std::uint32_t i = 1; i <= 4; ++i) append(log, kOrders, i, "kept " + std::to_string(i));
    for (std::uint32_t i = 1; i <= 3; ++i) append(log, kEvents, 0, "event " + std::to_string(i));
    const AppendExtension numbered{.route_hash = 7,
                                   .producer = 0xFFFF'FFFF'FFFF'FFFF,
                                   .sequence = 300,
                                   .content_digest = 0x0123'4567'89AB'CDEF};
    const Message large = message("orders", std::string(20'000, 'L'));
    log.add(RecordType::kAppend, numbered, kOrders, numbered.flags(), &large);
  });
  entry(log, [&] {
    prepare(log, half("committed"));
    prepare(log, half("rolled back"));
  });
  entry(log, [&] {
    log.add(RecordType::kEnd, end("committed", Decision::kCommit, Decider::kCheck));
    log.add(RecordType::kEnd,
            end("rolled back", Decision::kRollback, Decider::kOperator, "asked for"));
    log.add(RecordType::kEnd,
            end("0123456789abcdef0123456789abcdef", Decision::kCommit, Decider::kProducer));
  });
  entry(log, [&] {
    log.add(RecordType::kRetain, RetainExtension{.horizon = Lsn(), .floors = floors}, kOrders);
    const RetainExtension moved{.horizon = horizon, .floors = {}, .horizon_ms = kTimeMs + 1};
    log.add(RecordType::kRetain, moved, 0, moved.flags());
  });
  log.write();
}

void write_last_segment(GoldenLog& log, const std::vector<RetainFloor>& orders) {
  entry(log, [&] {
    SettleExtension settle{.group = GroupUid(kBilling), .items = {}};
    const std::uint64_t first = orders.at(1).first;
    settle.items.push_back({.action = 1, .queue = 1, .offset = first, .attempt = 1});
    settle.items.push_back(
        {.action = 2, .queue = 1, .offset = first + 1, .attempt = 1, .delay_ms = 43'200'000});
    log.add(RecordType::kSettle, settle, kOrders);
    settle.items = {{.action = 3, .queue = 0, .offset = 1, .attempt = 1}};
    log.add(RecordType::kSettle, settle, kEvents);
    settle.items = {{.action = 2, .queue = 0, .offset = 0, .attempt = 1}};
    log.add(RecordType::kLeaseExpired, settle, kEvents);
  });
  entry(log, [&] { prepare(log, half("begun last")); });
  entry(log, [&] { log.mark(); });
  log.write();
}

TEST_CASE("a data directory is written as the golden one holds it") {
  GoldenData data;
  data.segment(write_first_segment);
  data.segment([&](GoldenLog& log) { write_second_segment(log); });
  const Lsn horizon = data.write_base();
  const std::vector<RetainFloor> orders{data.floor(kOrders, 0), data.floor(kOrders, 1)};
  data.segment([&](GoldenLog& log) { write_third_segment(log, orders, horizon); });
  data.write_base();
  data.segment([&](GoldenLog& log) { write_last_segment(log, orders); });

  const auto check = [&](const std::string& path) {
    check_golden(kGolden / "0" / std::filesystem::path(path).lexically_relative(kShard),
                 data.files().content(path));
  };
  for (std::size_t i = 1; i < data.segments().size(); ++i) check(data.segments()[i]);
  for (const std::string& base : data.bases()) check(base);
}

}  // namespace
}  // namespace tally::testing
