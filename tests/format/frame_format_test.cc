// The encoders still write, byte for byte, what the golden files hold. A difference means that
// released peers no longer understand each other: a new format version, not a new golden file.
// TALLY_WRITE_GOLDEN=1 writes the files that are missing.

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "protocol/base/message_block.h"
#include "protocol/wire/codec.h"

namespace tally {
namespace {

constexpr std::int64_t kBornMs = 1'700'000'000'123;

template <typename IdType>
IdType id_from(std::uint8_t first) {
  IdType id;
  for (std::uint8_t& byte : id.bytes) byte = first++;
  return id;
}

std::string block_of(const Message& message) {
  std::string block;
  append_message_block(message, kBornMs, block).value();
  return block;
}

std::string full_block() {
  return block_of({.topic = "order.created",
                   .key = "42",
                   .tag = "new",
                   .message_group = "customer-7",
                   .properties = {{"trace", "a1b2"}, {"empty", ""}},
                   .body = "{\"id\":42,\"price\":\"9.99 €\"}"});
}

std::string request(std::uint64_t id, const Request& request, std::string_view payload = {}) {
  std::string out;
  wire::Codec().append_request(RequestId{id}, request, payload, out);
  return out;
}

std::string response(std::uint64_t id, const Response& response, std::string_view payload = {}) {
  std::string out;
  wire::Codec().append_response(RequestId{id}, response, payload, out);
  return out;
}

std::string conflict() {
  Error error{ErrorCode::kConflict, "transaction t-1 is committed"};
  error.winner = Winner{TransactionState::kCommitted, Decider::kProducer, 1'700'000'000'500};
  std::string out;
  wire::Codec().append_error(RequestId{4}, static_cast<std::uint8_t>(RequestKind::kEnd), error,
                             out);
  return out;
}

std::string receive_answer() {
  std::string block = full_block();
  std::string empty = block_of({});
  auto size = [](const std::string& bytes) { return static_cast<std::uint32_t>(bytes.size()); };
  return response(
      5,
      ReceiveResponse{.applied = EntryIndex{99},
                      .lease_ms = 30'000,
                      .deliveries = {{Lsn{4096}, QueueId{0}, Offset{0}, 1, size(block)},
                                     {Lsn{8192}, QueueId{3}, Offset{17}, 2, size(empty)}}},
      block + empty);
}

void check_golden(const std::string& name, const std::string& bytes) {
  std::filesystem::path path = "tests/format/golden/" + name + ".bin";
  if (!std::filesystem::exists(path) && std::getenv("TALLY_WRITE_GOLDEN") != nullptr) {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream golden;
  golden << file.rdbuf();
  INFO(path);
  CHECK(golden.str().size() == bytes.size());
  CHECK(golden.str() == bytes);
}

}  // namespace

TEST_CASE("message blocks are written as the golden files hold them") {
  check_golden("block-empty", block_of({}));
  check_golden("block-full", full_block());
}

TEST_CASE("frames are written as the golden files hold them") {
  Handle handle{id_from<LogId>(0x10), Lsn{1'048'576}, 1'700'000'000'200};
  check_golden(
      "frame-hello",
      request(1, HelloRequest{.client = "orders", .software = "tally-test 1", .window = 64}));
  check_golden("frame-hello-answer",
               response(1, HelloResponse{.session = SessionId{7},
                                         .log = id_from<LogId>(0x10),
                                         .shard = ShardId{1},
                                         .term = Term{2},
                                         .window = 64,
                                         .frame_bytes_max = 17u << 20,
                                         .broker_time_ms = 1'700'000'000'100,
                                         .ping_ms = 30'000,
                                         .first_check_ms = 10'000,
                                         .transaction_lifetime_ms = 86'400'000}));
  check_golden("frame-send", request(2,
                                     SendRequest{.topic = "order.created",
                                                 .producer = 0xFFFF'FFFF'FFFF'FFFF,
                                                 .sequence = 300},
                                     full_block()));
  check_golden("frame-send-answer",
               response(2, SendResponse{Lsn{1'048'576}, QueueId{2}, Offset{41}}));
  check_golden("frame-prepare", request(3,
                                        PrepareRequest{.topic = "order.created",
                                                       .transaction = "t-1",
                                                       .group = "orders",
                                                       .store = id_from<StoreId>(0x80),
                                                       .message = 1,
                                                       .fresh = true,
                                                       .first_check_ms = 1'000,
                                                       .lifetime_ms = 60'000},
                                        full_block()));
  check_golden("frame-prepare-answer",
               response(3, PrepareResponse{handle, 1'700'000'001'200, 1'700'000'060'200}));
  check_golden("frame-end", request(4, EndRequest{.transaction = "t-1",
                                                  .group = "orders",
                                                  .decision = Decision::kRollback,
                                                  .handle = handle,
                                                  .messages = 1}));
  check_golden("frame-end-conflict", conflict());
  check_golden("frame-receive-answer", receive_answer());
  check_golden("frame-settle",
               request(6, SettleRequest{
                              .topic = "order.created",
                              .group = "points",
                              .items = {{QueueId{0}, Offset{0}, 1, SettleAction::kAck},
                                        {QueueId{3}, Offset{17}, 2, SettleAction::kNack, 5'000}}}));
  check_golden("frame-check", request(9, CheckRequest{.transaction = "t-1",
                                                      .group = "orders",
                                                      .store = id_from<StoreId>(0x80),
                                                      .handle = handle,
                                                      .challenge = 0x0123'4567'89AB'CDEF,
                                                      .messages = 1,
                                                      .attempt = 2,
                                                      .expires_in_ms = -5}));
}

}  // namespace tally
