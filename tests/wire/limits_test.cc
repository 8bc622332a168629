// One test per rule that a request must keep: at the limit it passes, over it the named error.

#include "protocol/base/limits.h"

#include <catch2/catch.hpp>

#include "protocol/wire/codec.h"
#include "tests/wire/samples.h"

namespace tally::wire {
namespace {

ErrorCode error_of_frame(const Frame& frame) {
  auto decoded = Codec().decode_request(frame);
  return decoded ? ErrorCode::kOk : decoded.error().code;
}

// The error of the sample after `change`, as the other side sees it.
template <typename Plain, typename Change>
ErrorCode error_of(Change change) {
  Plain request = sample<Plain>();
  change(request);
  std::string bytes;
  Codec().append_request(RequestId{1}, request, sample_payload<Plain>(), bytes);
  FrameDecoder::Step step = FrameDecoder(limits::kFrameBytesMax).next(bytes).value();
  REQUIRE(step.frame);
  return error_of_frame(*step.frame);
}

template <typename Plain, typename Field, typename Value>
ErrorCode error_with(Field Plain::*field, Value value) {
  return error_of<Plain>([&](Plain& request) { request.*field = static_cast<Field>(value); });
}

template <typename Plain, typename Field>
void check_range(Field Plain::*field, std::int64_t min, std::int64_t max,
                 ErrorCode above = ErrorCode::kOutOfRange) {
  CHECK(error_with(field, min) == ErrorCode::kOk);
  CHECK(error_with(field, max) == ErrorCode::kOk);
  CHECK(error_with(field, max + 1) == above);
  if (min > 0 || std::is_signed_v<Field>) {
    CHECK(error_with(field, min - 1) == ErrorCode::kOutOfRange);
  }
}

template <typename Plain>
void check_length(std::string Plain::*field, std::size_t max) {
  CHECK(error_with(field, std::string(max, 'x')) == ErrorCode::kOk);
  CHECK(error_with(field, std::string(max + 1, 'x')) == ErrorCode::kFieldTooLong);
}

template <typename Plain>
void check_name(std::string Plain::*field) {
  CHECK(error_with(field, std::string(limits::kNameBytesMax, 'x')) == ErrorCode::kOk);
  for (const std::string& bad :
       std::vector<std::string>{std::string(limits::kNameBytesMax + 1, 'x'), "", "a/b", "\xff"}) {
    CHECK(error_with(field, bad) == ErrorCode::kInvalidName);
  }
}

template <typename Plain>
void check_transaction_id(std::string Plain::*field) {
  check_length(field, limits::kFieldBytesMax);
  CHECK(error_with(field, std::string{}) == ErrorCode::kInvalidArgument);
}

template <typename Plain, typename Item>
void check_count(std::vector<Item> Plain::*field, std::size_t min, std::size_t max) {
  Item item{};
  if constexpr (std::is_same_v<Item, SettleItem>) item.action = SettleAction::kAck;
  auto with = [&](std::size_t count) {
    return error_of<Plain>([&](Plain& request) { (request.*field).assign(count, item); });
  };
  CHECK(with(min) == ErrorCode::kOk);
  CHECK(with(max) == ErrorCode::kOk);
  CHECK(with(max + 1) == ErrorCode::kOutOfRange);
  if (min > 0) CHECK(with(min - 1) == ErrorCode::kOutOfRange);
}

}  // namespace

TEST_CASE("topic names are checked in every request") {
  check_name(&CreateTopicRequest::topic);
  check_name(&SendRequest::topic);
  check_name(&PrepareRequest::topic);
  check_name(&ReceiveRequest::topic);
  check_name(&SettleRequest::topic);
  check_name(&ExtendLeaseRequest::topic);
}

TEST_CASE("group names are checked in every request") {
  check_name(&PrepareRequest::group);
  check_name(&RegisterCheckerRequest::group);
  check_name(&CheckRequest::group);
  check_name(&ReceiveRequest::group);
  check_name(&SettleRequest::group);
  check_name(&ExtendLeaseRequest::group);
}

TEST_CASE("an END names its group unless an operator sends it") {
  auto with = [](bool by_operator, std::string group) {
    return error_of<EndRequest>([&](EndRequest& request) {
      request.by_operator = by_operator;
      request.group = std::move(group);
    });
  };
  CHECK(with(true, "") == ErrorCode::kOk);
  CHECK(with(true, "a/b") == ErrorCode::kInvalidName);
  CHECK(with(false, "") == ErrorCode::kInvalidName);
  CHECK(with(false, "orders") == ErrorCode::kOk);
}

TEST_CASE("pages are checked: names and the number of rows") {
  for (auto field : {&ListTopicsRequest::name, &ListTopicsRequest::after}) {
    CHECK(error_with(field, std::string{}) == ErrorCode::kOk);
    CHECK(error_with(field, std::string{"a/b"}) == ErrorCode::kInvalidName);
  }
  for (auto field : {&ListGroupsRequest::name, &ListGroupsRequest::after}) {
    CHECK(error_with(field, std::string{}) == ErrorCode::kOk);
    CHECK(error_with(field, std::string{"a/b"}) == ErrorCode::kInvalidName);
  }
  check_range(&ListTopicsRequest::limit, 0, limits::kListPageMax);
  check_range(&ListGroupsRequest::limit, 0, limits::kListPageMax);
  check_range(&ListTransactionsRequest::limit, 0, limits::kListPageMax);
  check_length(&ListTransactionsRequest::after, limits::kFieldBytesMax);
}

TEST_CASE("transaction ids are checked in every request") {
  check_transaction_id(&PrepareRequest::transaction);
  check_transaction_id(&EndRequest::transaction);
  check_transaction_id(&ShowTransactionRequest::transaction);
  check_transaction_id(&CheckRequest::transaction);
  check_transaction_id(&AnswerCheckRequest::transaction);
}

TEST_CASE("texts for people have limits") {
  check_length(&HelloRequest::client, limits::kFieldBytesMax);
  check_length(&HelloRequest::software, limits::kFieldBytesMax);
  check_length(&EndRequest::reason, limits::kReasonBytesMax);
  check_length(&AnswerCheckRequest::reason, limits::kReasonBytesMax);
}

TEST_CASE("a range of versions begins at 1 and does not run backwards") {
  check_range(&HelloRequest::version_min, 1, 3);
  CHECK(error_with(&HelloRequest::version_max, 0) == ErrorCode::kOutOfRange);
}

TEST_CASE("a topic has at most 1,024 queues") {
  check_range(&CreateTopicRequest::queues, 0, limits::kQueuesMax);
}

TEST_CASE("a topic keeps messages for at most ten years") {
  check_range(&CreateTopicRequest::retention_ms, 0, limits::kRetentionMsMax);
}

TEST_CASE("a transaction has at most 64 messages") {
  check_range(&PrepareRequest::message, 1, limits::kTransactionMessagesMax,
              ErrorCode::kTransactionTooLarge);
  check_range(&EndRequest::messages, 0, limits::kTransactionMessagesMax);
  check_range(&CheckRequest::messages, 0, limits::kTransactionMessagesMax);
  check_range(&AnswerCheckRequest::messages, 0, limits::kTransactionMessagesMax);
}

TEST_CASE("times of a transaction are within 30 days") {
  check_range(&PrepareRequest::first_check_ms, 0, limits::kTransactionLifetimeMsMax);
  check_range(&PrepareRequest::lifetime_ms, 0, limits::kTransactionLifetimeMsMax);
}

TEST_CASE("a checker names at most 1,024 stores") {
  check_count(&RegisterCheckerRequest::stores, 0, limits::kCheckerStoresMax);
}

TEST_CASE("receive is bounded in messages, bytes, wait and lease") {
  check_range(&ReceiveRequest::messages_max, 1, limits::kReceiveMessagesMax);
  check_range(&ReceiveRequest::bytes_max, 0, limits::kReceiveBytesMax);
  check_range(&ReceiveRequest::wait_ms, 0, limits::kReceiveWaitMsMax);
  check_range(&ReceiveRequest::lease_ms, limits::kLeaseMsMin, limits::kLeaseMsMax);
  CHECK(error_with(&ReceiveRequest::lease_ms, 0) == ErrorCode::kOk);
}

TEST_CASE("a question for final transactions is bounded in their number, and each id is checked") {
  auto with = [](std::size_t count, const std::string& id) {
    return error_of<FindFinalRequest>(
        [&](FindFinalRequest& request) { request.transactions.assign(count, id); });
  };
  CHECK(with(0, "x") == ErrorCode::kOutOfRange);
  CHECK(with(1, "x") == ErrorCode::kOk);
  CHECK(with(limits::kFindFinalMax, "x") == ErrorCode::kOk);
  CHECK(with(limits::kFindFinalMax + 1, "x") == ErrorCode::kOutOfRange);
  CHECK(with(1, "") == ErrorCode::kInvalidArgument);
  CHECK(with(1, std::string(limits::kFieldBytesMax + 1, 'x')) == ErrorCode::kFieldTooLong);
}

TEST_CASE("settle and extend are bounded in items, delay and lease") {
  check_count(&SettleRequest::items, 1, limits::kSettleItemsMax);
  check_count(&ExtendLeaseRequest::items, 1, limits::kSettleItemsMax);
  check_range(&ExtendLeaseRequest::lease_ms, limits::kLeaseMsMin, limits::kLeaseMsMax);
  CHECK(error_with(&ExtendLeaseRequest::lease_ms, 0) == ErrorCode::kOk);
  auto with_delay = [](std::int64_t delay_ms) {
    return error_of<SettleRequest>(
        [=](SettleRequest& request) { request.items[1].delay_ms = delay_ms; });
  };
  CHECK(with_delay(limits::kNackDelayMsMax) == ErrorCode::kOk);
  CHECK(with_delay(limits::kNackDelayMsMax + 1) == ErrorCode::kOutOfRange);
  CHECK(with_delay(-2) == ErrorCode::kOutOfRange);
}

TEST_CASE("the largest settle and the largest checker fit into a request's header") {
  constexpr SettleItem kWidest{QueueId{1023}, Offset{UINT64_MAX}, UINT32_MAX, SettleAction::kNack,
                               limits::kNackDelayMsMax};
  CHECK(error_of<SettleRequest>([&](SettleRequest& request) {
          request.topic = request.group = std::string(limits::kNameBytesMax, 'x');
          request.items.assign(limits::kSettleItemsMax, kWidest);
        }) == ErrorCode::kOk);
  CHECK(error_of<RegisterCheckerRequest>([](RegisterCheckerRequest& request) {
          request.stores.assign(limits::kCheckerStoresMax, sample_id<StoreId>(1));
        }) == ErrorCode::kOk);
}

TEST_CASE("a header over its limit is refused before it is decoded") {
  std::string header(limits::kRequestHeaderBytesMax + 1, '\0');
  Frame frame{static_cast<std::uint8_t>(RequestKind::kSettle), 0, RequestId{1}, header, {}};
  auto decoded = Codec().decode_request(frame);
  REQUIRE_FALSE(decoded.has_value());
  CHECK(decoded.error().code == ErrorCode::kMalformedRequest);
  CHECK(decoded.error().message.find("65536") != std::string::npos);
}

TEST_CASE("numbers that are no value of their enum are refused") {
  CHECK(error_with(&EndRequest::decision, Decision::kCommit) == ErrorCode::kOk);
  for (int decision : {0, 3, 4, 255}) {
    CHECK(error_with(&EndRequest::decision, decision) == ErrorCode::kInvalidArgument);
  }
  CHECK(error_with(&AnswerCheckRequest::decision, 3) == ErrorCode::kOk);
  for (int decision : {0, 4, 255}) {
    CHECK(error_with(&AnswerCheckRequest::decision, decision) == ErrorCode::kInvalidArgument);
  }
  CHECK(error_with(&ListTransactionsRequest::state, 0) == ErrorCode::kOk);
  CHECK(error_with(&ListTransactionsRequest::state, 5) == ErrorCode::kInvalidArgument);
  for (int action : {0, 4, 255}) {
    CHECK(error_of<SettleRequest>([=](SettleRequest& request) {
            request.items[0].action = static_cast<SettleAction>(action);
          }) == ErrorCode::kInvalidArgument);
  }
}

TEST_CASE("an id that is neither empty nor 16 bytes is malformed") {
  auto with_store = [](const std::string& store) {
    // Prepare with topic "t", transaction "x", group "g", the store, message 1.
    std::string header = "\x0a\x01t\x12\x01x\x1a\x01g\x22";
    header += static_cast<char>(store.size());
    header += store + "\x28\x01";
    return error_of_frame(
        {static_cast<std::uint8_t>(RequestKind::kPrepare), 0, RequestId{1}, header, "block"});
  };
  CHECK(with_store("") == ErrorCode::kOk);
  CHECK(with_store(std::string(16, 's')) == ErrorCode::kOk);
  CHECK(with_store(std::string(15, 's')) == ErrorCode::kMalformedRequest);
  CHECK(with_store(std::string(17, 's')) == ErrorCode::kMalformedRequest);
}

}  // namespace tally::wire
