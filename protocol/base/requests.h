#pragma once
// Every request and answer as a plain value: what cores decide on, what wire encodes. Requests that
// carry messages (Send, Prepare; the answer to Receive) have the message blocks beside them, as the
// payload of the frame.
//
// The codec checks lengths, names and ranges; a struct that comes out of it is well-formed.

#include <cstdint>
#include <string>
#include <tally/error.hpp>
#include <tally/ids.hpp>
#include <tally/result.hpp>
#include <variant>
#include <vector>

#include "protocol/base/check_settings.h"

namespace tally {

enum class RequestKind : std::uint8_t {
#define TALLY_REQUEST(Name, kind, sender, lane) k##Name = kind,
#include "protocol/base/requests.inc"
#undef TALLY_REQUEST
};
enum class Sender : std::uint8_t { kClient, kBroker };
enum class Lane : std::uint8_t { kControl, kSend, kProgress };

/// "Send", or "unknown".
std::string_view name(RequestKind kind);
Lane lane(RequestKind kind);

// --- session ---
struct HelloRequest {
  std::uint32_t version_min = 1;  ///< protocol versions the client speaks
  std::uint32_t version_max = 1;
  std::string client{};      ///< identity; until authentication exists, the name it gives
  std::string software{};    ///< for people: "tally-cli 1.0"
  std::uint32_t window = 0;  ///< requests in flight wanted; 0: as many as granted
  bool operator==(const HelloRequest&) const = default;
};
struct HelloResponse {
  std::uint32_t version = 1;
  SessionId session{};
  LogId log{};
  ShardId shard{};
  Term term{};
  std::uint32_t window = 0;
  std::uint64_t frame_bytes_max = 0;
  std::int64_t broker_time_ms = 0;
  std::int64_t ping_ms = 0;
  std::int64_t first_check_ms = 0;  ///< defaults that a producer needs to set its own deadline
  std::int64_t transaction_lifetime_ms = 0;
  bool operator==(const HelloResponse&) const = default;
};
struct PingRequest {
  bool operator==(const PingRequest&) const = default;
};
struct PingResponse {
  std::int64_t broker_time_ms = 0;
  bool operator==(const PingResponse&) const = default;
};
struct StatsRequest {
  bool operator==(const StatsRequest&) const = default;
};
struct StatValue {
  std::string name{};
  std::uint64_t value = 0;
  bool operator==(const StatValue&) const = default;
};
/// Counters of the broker since its start, and what its process uses now. Which ones there are may
/// change with every version.
struct StatsResponse {
  std::vector<StatValue> values{};
  bool operator==(const StatsResponse&) const = default;
};

// --- topics and groups ---
struct CreateTopicRequest {
  std::string topic{};
  std::uint32_t queues = 0;       ///< 0: the default
  std::int64_t retention_ms = 0;  ///< at most the broker's; 0: the broker's
  CheckSettings checks{};         ///< of transactions whose first message goes to the topic
  bool operator==(const CreateTopicRequest&) const = default;
};
struct QueueInfo {
  QueueId queue{};
  Offset first{};  ///< earliest retained
  Offset next{};   ///< one past the newest
  bool operator==(const QueueInfo&) const = default;
};
struct TopicInfo {
  TopicUid uid{};
  std::string name{};
  std::vector<QueueInfo> queues{};
  std::int64_t retention_ms = 0;  ///< 0: the broker's
  CheckSettings checks{};
  bool operator==(const TopicInfo&) const = default;
};
/// Repeating with the same settings is OK and answers the same; other settings: TOPIC_EXISTS.
struct CreateTopicResponse {
  TopicInfo topic{};
  bool operator==(const CreateTopicResponse&) const = default;
};
struct ListTopicsRequest {
  std::string name{};   ///< one topic (TOPIC_NOT_FOUND when missing), or empty for a page of all
  std::string after{};  ///< page: names greater than this
  std::uint32_t limit = 0;  ///< 0: the largest page
  bool operator==(const ListTopicsRequest&) const = default;
};
struct ListTopicsResponse {
  std::vector<TopicInfo> topics{};  ///< by name
  bool more = false;
  bool operator==(const ListTopicsResponse&) const = default;
};
struct GroupQueueInfo {
  std::string topic{};
  QueueId queue{};
  Offset floor{};  ///< everything below is settled or in retry
  Offset next{};   ///< one past the newest of the queue
  std::uint64_t settled_above_floor = 0;
  std::uint64_t retrying = 0;       ///< nacked or expired, waiting to be granted again
  std::uint64_t dead_lettered = 0;  ///< so far
  std::uint64_t unsettled = 0;      ///< backlog: next - floor - settled above floor + retrying
  std::uint64_t lost = 0;           ///< so far: unsettled when their retention was over
  std::uint64_t damaged =
      0;  ///< since the broker's start: left out of answers, because they cannot be read
  bool operator==(const GroupQueueInfo&) const = default;
};
struct GroupInfo {
  std::string name{};
  std::vector<GroupQueueInfo> queues{};  ///< by topic, queue
  bool operator==(const GroupInfo&) const = default;
};
struct ListGroupsRequest {
  std::string name{};
  std::string after{};
  std::uint32_t limit = 0;
  bool operator==(const ListGroupsRequest&) const = default;
};
struct ListGroupsResponse {
  std::vector<GroupInfo> groups{};
  bool more = false;
  bool operator==(const ListGroupsResponse&) const = default;
};

struct ProducerGroupInfo {
  std::string name{};
  CheckSettings checks{};
  bool operator==(const ProducerGroupInfo&) const = default;
};
/// Replaces the settings of a producer group; a group without settings needs none.
struct SetProducerGroupRequest {
  ProducerGroupInfo group{};
  bool operator==(const SetProducerGroupRequest&) const = default;
};
struct SetProducerGroupResponse {
  bool operator==(const SetProducerGroupResponse&) const = default;
};
struct ListProducerGroupsRequest {
  std::string name{};   ///< one group (GROUP_NOT_FOUND when it has no settings), or empty
  std::string after{};  ///< page: names greater than this
  std::uint32_t limit = 0;
  bool operator==(const ListProducerGroupsRequest&) const = default;
};
struct ListProducerGroupsResponse {
  std::vector<ProducerGroupInfo> groups{};  ///< those with settings, by name
  bool more = false;
  bool operator==(const ListProducerGroupsResponse&) const = default;
};

// --- sending ---
/// Payload: one message block.
struct SendRequest {
  std::string topic{};
  /// 0: none; else (producer, sequence) names the message for deduplication
  std::uint64_t producer = 0;
  std::uint64_t sequence = 0;
  bool operator==(const SendRequest&) const = default;
};
struct SendResponse {
  Lsn lsn{};  ///< with the session's log id: the message uid
  QueueId queue{};
  Offset offset{};
  bool operator==(const SendResponse&) const = default;
};

// --- transactions ---
/// Stores one half message. Payload: one message block.
struct PrepareRequest {
  std::string topic{};
  std::string transaction{};  ///< 1 to 255 bytes, the idempotency key
  std::string group{};        ///< producer group
  StoreId store{};            ///< database that can answer a check; zero: a listener's
  std::uint32_t message = 1;  ///< 1 … 64: number of this message within the transaction
  bool fresh = false;  ///< made by an SDK for this very first PREPARE: the broker skips the look-up
  std::int64_t first_check_ms = 0;  ///< after PREPARE; 0: the broker's default
  std::int64_t lifetime_ms = 0;     ///< 0: the broker's default
  bool operator==(const PrepareRequest&) const = default;
};
struct PrepareResponse {
  Handle handle{};
  std::int64_t first_check_at_ms = 0;  ///< broker time
  std::int64_t expires_at_ms = 0;      ///< broker time at which the lifetime is over
  bool operator==(const PrepareResponse&) const = default;
};
struct EndRequest {
  std::string transaction{};
  std::string group{};         ///< must be the creator's unless by an operator
  Decision decision{};         ///< kCommit or kRollback
  Handle handle{};             ///< zero log id: none (operators)
  std::uint32_t messages = 0;  ///< 0: as many as stored (operators)
  bool by_operator = false;
  std::string reason{};  ///< operators', for people
  bool operator==(const EndRequest&) const = default;
};
struct EndResponse {
  Winner result{};
  bool repeated = false;  ///< decided before, the same way
  bool operator==(const EndResponse&) const = default;
};
struct CheckRecord {
  std::int64_t delivered_at_ms = 0;
  std::string client{};             ///< who was asked
  std::int64_t answered_at_ms = 0;  ///< 0: no answer came
  Decision answer{};                ///< of the answer
  std::string reason{};             ///< given with it
  bool operator==(const CheckRecord&) const = default;
};
struct TransactionInfo {
  std::string id{};
  std::string group{};
  std::string client{};  ///< identity that prepared it
  StoreId store{};
  TransactionState state{};
  std::vector<std::string> topics{};  ///< of its messages, in their order
  std::uint32_t messages = 0;
  Handle handle{};                    ///< time_ms: prepared at
  std::int64_t next_check_at_ms = 0;  ///< 0: none
  std::int64_t expires_at_ms = 0;
  std::uint32_t checks = 0;  ///< delivered checks
  Decider decided_by{};
  std::int64_t decided_at_ms = 0;
  std::string decided_by_client{};           ///< identity of who ended it, or answered the check
  std::string reason{};                      ///< of the decision; of a parked one: why it is parked
  std::vector<CheckRecord> check_records{};  ///< the newest 16, oldest first
  bool operator==(const TransactionInfo&) const = default;
};
struct ShowTransactionRequest {
  std::string transaction{};
  bool operator==(const ShowTransactionRequest&) const = default;
};
struct ShowTransactionResponse {
  TransactionInfo transaction{};
  std::uint32_t checkers = 0;  ///< sessions that could be asked now
  bool operator==(const ShowTransactionResponse&) const = default;
};
struct ListTransactionsRequest {
  std::uint32_t state = 0;  ///< a TransactionState, or 0 for all
  std::string after{};      ///< page: ids behind this one
  std::uint32_t limit = 0;
  std::string group{};             ///< of this producer group; empty: any
  std::int64_t older_than_ms = 0;  ///< prepared at least so long ago
  bool operator==(const ListTransactionsRequest&) const = default;
};
struct ListTransactionsResponse {
  std::vector<TransactionInfo> transactions{};  ///< ids of 32 hexadecimal digits first, then by id
  bool more = false;
  std::string next_after{};  ///< for the next page (a page may be empty and yet not the last)
  bool operator==(const ListTransactionsResponse&) const = default;
};

enum class TransactionAction : std::uint8_t {
  kCheck = 1,   ///< ask now, not when the next check is due; a parked one is asked, too
  kPark = 2,    ///< no more checks
  kResume = 3,  ///< checks from the first again
};
/// An operator's. Errors: NOT_FOUND_OR_EXPIRED, TRANSACTION_ENDED.
struct ManageTransactionRequest {
  std::string transaction{};
  TransactionAction action{};
  std::string reason{};  ///< for people; recorded with kPark and kResume
  bool operator==(const ManageTransactionRequest&) const = default;
};
struct ManageTransactionResponse {
  TransactionState state{};
  std::int64_t next_check_at_ms = 0;  ///< 0: none
  std::uint32_t checkers = 0;         ///< sessions that could be asked now
  bool operator==(const ManageTransactionResponse&) const = default;
};

enum class Finality : std::uint8_t {
  kOpen = 1,     ///< pending, parked, or decided too short a time ago
  kFinal = 2,    ///< decided, and no local work under it can begin to commit any more
  kUnknown = 3,  ///< decided before known_since_ms, or never stored here
};
/// Of which transactions can a database forget its barrier row?
struct FindFinalRequest {
  std::vector<std::string> transactions{};  ///< at most limits::kFindFinalMax
  bool operator==(const FindFinalRequest&) const = default;
};
struct FindFinalResponse {
  std::vector<Finality> finality{};  ///< one per transaction
  std::int64_t known_since_ms = 0;   ///< decisions before it are not known any more
  bool operator==(const FindFinalResponse&) const = default;
};

// --- check-back ---
/// "I can answer checks for transactions of `group` whose store is one of `stores` (zero:
/// listener's)." Replaces what this session registered for the group before.
struct RegisterCheckerRequest {
  std::string group{};
  std::vector<StoreId> stores{};
  bool operator==(const RegisterCheckerRequest&) const = default;
};
struct RegisterCheckerResponse {
  bool operator==(const RegisterCheckerResponse&) const = default;
};
/// Broker to client. The answer to this request is only the receipt; the verdict comes as
/// AnswerCheck.
struct CheckRequest {
  std::string transaction{};
  std::string group{};
  StoreId store{};
  Handle handle{};
  std::uint64_t challenge = 0;  ///< proves only "answer to this check"
  std::uint32_t messages = 0;   ///< stored halves
  std::uint32_t attempt = 0;    ///< 1 …
  /// until the lifetime is over for certain (a tenth late, by a clock that nobody can set); negative when past
  std::int64_t expires_in_ms = 0;
  bool operator==(const CheckRequest&) const = default;
};
struct CheckResponse {
  bool operator==(const CheckResponse&) const = default;
};
struct AnswerCheckRequest {
  std::string transaction{};
  std::uint64_t challenge = 0;
  Decision decision{};
  std::uint32_t messages = 0;  ///< count for COMMIT; 0: as stored
  std::string reason{};
  bool operator==(const AnswerCheckRequest&) const = default;
};
struct AnswerCheckResponse {
  Winner result{};  ///< state kPending after UNKNOWN
  bool operator==(const AnswerCheckResponse&) const = default;
};

// --- delivery ---
/// Waits until messages can be granted, at most wait_ms. One request is one credit. Answer's
/// payload: the blocks, in order.
struct ReceiveRequest {
  std::string topic{};
  std::string group{};
  std::uint32_t messages_max = 1;
  std::uint32_t bytes_max = 0;  ///< 0: the broker's limit
  std::int64_t wait_ms = 0;
  std::int64_t lease_ms = 0;  ///< 0: the broker's default
  bool operator==(const ReceiveRequest&) const = default;
};
struct DeliveryHeader {
  Lsn lsn{};  ///< of first storage; with the log id: the message uid
  QueueId queue{};
  Offset offset{};
  std::uint32_t attempt = 1;
  std::uint32_t block_bytes = 0;  ///< of its block in the payload
  bool operator==(const DeliveryHeader&) const = default;
};
struct ReceiveResponse {
  EntryIndex applied{};
  std::int64_t lease_ms = 0;
  std::vector<DeliveryHeader> deliveries{};
  bool operator==(const ReceiveResponse&) const = default;
};
enum class SettleAction : std::uint8_t { kAck = 1, kNack = 2, kDeadLetter = 3 };
struct SettleItem {
  QueueId queue{};
  Offset offset{};
  std::uint32_t attempt = 0;
  SettleAction action{};
  std::int64_t delay_ms = -1;  ///< nack: until the next grant; -1: the group's back-off
  bool operator==(const SettleItem&) const = default;
};
struct SettleRequest {
  std::string topic{};
  std::string group{};
  std::vector<SettleItem> items{};
  bool operator==(const SettleRequest&) const = default;
};
struct SettleResponse {
  EntryIndex applied{};
  std::vector<ErrorCode> results{};  ///< one per item: kOk or kLeaseLost
  bool operator==(const SettleResponse&) const = default;
};
struct LeaseItem {
  QueueId queue{};
  Offset offset{};
  std::uint32_t attempt = 0;
  bool operator==(const LeaseItem&) const = default;
};
struct ExtendLeaseRequest {
  std::string topic{};
  std::string group{};
  std::int64_t lease_ms = 0;  ///< from now; 0: the broker's default
  std::vector<LeaseItem> items{};
  bool operator==(const ExtendLeaseRequest&) const = default;
};
struct ExtendLeaseResponse {
  std::vector<ErrorCode> results{};
  bool operator==(const ExtendLeaseResponse&) const = default;
};

#define TALLY_REQUEST(Name, kind, sender, lane) , Name##Request
using Request = std::variant<std::monostate
#include "protocol/base/requests.inc"
                             >;
#undef TALLY_REQUEST

#define TALLY_REQUEST(Name, kind, sender, lane) , Name##Response
using Response = std::variant<std::monostate
#include "protocol/base/requests.inc"
                              >;
#undef TALLY_REQUEST

/// The kind of a request or answer; the value must not be monostate.
RequestKind kind_of(const Request& request);
RequestKind kind_of(const Response& response);

}  // namespace tally
