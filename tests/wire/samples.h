#pragma once
// One value of every request and answer, no field left at its default: sample<SendRequest>().
// A request that is added to requests.inc without samples does not compile in codec_test.

#include "protocol/base/requests.h"

namespace tally::wire {

template <typename Plain>
Plain sample();

template <typename IdType>
IdType sample_id(std::uint8_t first) {
  IdType id;
  for (std::uint8_t& byte : id.bytes) byte = first++;
  return id;
}

inline Handle sample_handle() { return {sample_id<LogId>(16), Lsn{4096}, 1'700'000'000'123}; }
inline Winner sample_winner() {
  return {TransactionState::kRolledBack, Decider::kOperator, 1'700'000'000'456};
}
/// Any bytes, a zero and no UTF-8 among them.
inline std::string sample_transaction_id() { return std::string("tx\0\xff\xfe 1", 7); }

// --- session ---
template <>
inline HelloRequest sample() {
  return {.version_min = 1, .version_max = 3, .client = "shop", .software = "cli", .window = 64};
}
template <>
inline HelloResponse sample() {
  return {.version = 2,
          .session = SessionId{7},
          .log = sample_id<LogId>(16),
          .shard = ShardId{3},
          .term = Term{4},
          .window = 64,
          .frame_bytes_max = 17u << 20,
          .broker_time_ms = 1'700'000'000'001,
          .ping_ms = 30'000,
          .first_check_ms = 10'000,
          .transaction_lifetime_ms = 86'400'000};
}
template <>
inline PingRequest sample() {
  return {};
}
template <>
inline PingResponse sample() {
  return {1'700'000'000'002};
}

template <>
inline StatsRequest sample() {
  return {};
}
template <>
inline StatsResponse sample() {
  return {{{"log_syncs", 17}, {"frames_read", UINT64_MAX}}};
}

// --- topics and groups ---
inline TopicInfo sample_topic() {
  return {TopicUid{5},
          "order.created",
          {{QueueId{0}, Offset{10}, Offset{20}}, {QueueId{1}, Offset{11}, Offset{UINT64_MAX}}},
          3'600'000,
          {5'000, 60'000, 30'000, 7, OnBudget::kPark}};
}
template <>
inline CreateTopicRequest sample() {
  return {"order.created", 8, 3'600'000, {0, 0, 30'000, 0, OnBudget::kRollback}};
}
template <>
inline CreateTopicResponse sample() {
  return {sample_topic()};
}
template <>
inline ListTopicsRequest sample() {
  return {"order.created", "orders", 100};
}
template <>
inline ListTopicsResponse sample() {
  return {{sample_topic(), sample_topic()}, true};
}
inline ProducerGroupInfo sample_producer_group() {
  return {"orders", {5'000, 60'000, 30'000, 7, OnBudget::kRollback}};
}
template <>
inline SetProducerGroupRequest sample() {
  return {sample_producer_group()};
}
template <>
inline SetProducerGroupResponse sample() {
  return {};
}
template <>
inline ListProducerGroupsRequest sample() {
  return {"orders", "mail", 100};
}
template <>
inline ListProducerGroupsResponse sample() {
  return {{sample_producer_group(), sample_producer_group()}, true};
}
template <>
inline ListGroupsRequest sample() {
  return {"points", "pay", 100};
}
template <>
inline ListGroupsResponse sample() {
  GroupQueueInfo queue{"order.created", QueueId{1}, Offset{2}, Offset{3}, 4, 5, 6, 7, 8};
  return {{{"points", {queue, queue}}, {"rewards", {queue}}}, true};
}

// --- sending ---
template <>
inline SendRequest sample() {
  return {"order.created", UINT64_MAX, 300};
}
template <>
inline SendResponse sample() {
  return {Lsn{4096}, QueueId{2}, Offset{41}};
}

// --- transactions ---
template <>
inline PrepareRequest sample() {
  return {.topic = "order.created",
          .transaction = sample_transaction_id(),
          .group = "orders",
          .store = sample_id<StoreId>(80),
          .message = 64,
          .fresh = true,
          .first_check_ms = 1'000,
          .lifetime_ms = 60'000};
}
template <>
inline PrepareResponse sample() {
  return {sample_handle(), 1'700'000'001'000, 1'700'000'060'000};
}
template <>
inline EndRequest sample() {
  return {.transaction = sample_transaction_id(),
          .group = "orders",
          .decision = Decision::kRollback,
          .handle = sample_handle(),
          .messages = 3,
          .by_operator = true,
          .reason = "double booking"};
}
template <>
inline EndResponse sample() {
  return {sample_winner(), true};
}
inline TransactionInfo sample_transaction() {
  return {.id = sample_transaction_id(),
          .group = "orders",
          .client = "shop-1",
          .store = sample_id<StoreId>(80),
          .state = TransactionState::kParked,
          .topics = {"order.created", "mail"},
          .messages = 2,
          .handle = sample_handle(),
          .next_check_at_ms = 1'700'000'002'000,
          .expires_at_ms = 1'700'000'060'000,
          .checks = 4,
          .decided_by = Decider::kCheck,
          .decided_at_ms = 1'700'000'003'000,
          .decided_by_client = "shop-2",
          .reason = "said so",
          .check_records = {
              {1'700'000'001'000, "shop-1"},
              {1'700'000'001'500, "shop-2", 1'700'000'001'600, Decision::kUnknown, "busy"}}};
}
template <>
inline ShowTransactionRequest sample() {
  return {sample_transaction_id()};
}
template <>
inline ShowTransactionResponse sample() {
  return {sample_transaction(), 3};
}
template <>
inline ListTransactionsRequest sample() {
  return {4, sample_transaction_id(), 1'000, "orders", 300'000};
}
template <>
inline ListTransactionsResponse sample() {
  return {{sample_transaction(), sample_transaction()}, true, sample_transaction_id()};
}

template <>
inline ManageTransactionRequest sample() {
  return {sample_transaction_id(), TransactionAction::kResume, "the database is back"};
}
template <>
inline ManageTransactionResponse sample() {
  return {TransactionState::kPending, 1'700'000'002'000, 3};
}

template <>
inline FindFinalRequest sample() {
  return {{sample_transaction_id(), "order-42"}};
}
template <>
inline FindFinalResponse sample() {
  return {{Finality::kOpen, Finality::kFinal, Finality::kUnknown}, 1'700'000'000'456};
}

// --- check-back ---
template <>
inline RegisterCheckerRequest sample() {
  return {"orders", {sample_id<StoreId>(80), StoreId{}, sample_id<StoreId>(90)}};
}
template <>
inline RegisterCheckerResponse sample() {
  return {};
}
template <>
inline CheckRequest sample() {
  return {.transaction = sample_transaction_id(),
          .group = "orders",
          .store = sample_id<StoreId>(80),
          .handle = sample_handle(),
          .challenge = 0xFEDC'BA98'7654'3210,
          .messages = 2,
          .attempt = 5,
          .expires_in_ms = -7};
}
template <>
inline CheckResponse sample() {
  return {};
}
template <>
inline AnswerCheckRequest sample() {
  return {.transaction = sample_transaction_id(),
          .challenge = 0xFEDC'BA98'7654'3210,
          .decision = Decision::kUnknown,
          .messages = 2,
          .reason = "locked"};
}
template <>
inline AnswerCheckResponse sample() {
  return {sample_winner()};
}

// --- delivery ---
template <>
inline ReceiveRequest sample() {
  return {.topic = "order.created",
          .group = "points",
          .messages_max = 16,
          .bytes_max = 1'000'000,
          .wait_ms = 2'000,
          .lease_ms = 200};
}
template <>
inline ReceiveResponse sample() {  // its blocks: sample_payload
  return {EntryIndex{9},
          30'000,
          {{Lsn{4096}, QueueId{0}, Offset{1}, 1, 5}, {Lsn{8192}, QueueId{1}, Offset{2}, 3, 6}}};
}
template <>
inline SettleRequest sample() {
  return {"order.created",
          "points",
          {{QueueId{0}, Offset{1}, 1, SettleAction::kAck, -1},
           {QueueId{1}, Offset{UINT64_MAX}, 2, SettleAction::kNack, 0},
           {QueueId{2}, Offset{3}, 3, SettleAction::kNack, 5'000},
           {QueueId{3}, Offset{4}, 16, SettleAction::kDeadLetter, -1}}};
}
template <>
inline SettleResponse sample() {
  return {EntryIndex{9}, {ErrorCode::kOk, ErrorCode::kLeaseLost, ErrorCode::kOk}};
}
template <>
inline ExtendLeaseRequest sample() {
  return {"order.created", "points", 200, {{QueueId{0}, Offset{1}, 1}, {QueueId{1}, Offset{2}, 2}}};
}
template <>
inline ExtendLeaseResponse sample() {
  return {{ErrorCode::kLeaseLost, ErrorCode::kOk}};
}

/// What stands beside a sample as its payload: blocks are opaque to wire.
template <typename Plain>
std::string_view sample_payload() {
  if constexpr (std::is_same_v<Plain, SendRequest> || std::is_same_v<Plain, PrepareRequest>) {
    return "a message block";
  } else if constexpr (std::is_same_v<Plain, ReceiveResponse>) {
    return "first"
           "second";
  } else {
    return {};
  }
}

}  // namespace tally::wire
