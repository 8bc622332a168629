#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "protocol/base/message_block.h"
#include "tests/server/server_fixture.h"
#include "tests/support/memory_file_system.h"

namespace tally::testing {
namespace {

std::vector<std::string> bodies(const RawClient::Received& answer) {
  std::vector<std::string> result;
  std::string_view left = answer.payload;
  for (const DeliveryHeader& delivery : std::get<ReceiveResponse>(*answer.response).deliveries) {
    result.emplace_back(MessageBlock::parse(left.substr(0, delivery.block_bytes)).value().body());
    left.remove_prefix(delivery.block_bytes);
  }
  CHECK(left.empty());
  return result;
}

SettleRequest ack_all(const ReceiveResponse& received) {
  SettleRequest settle;
  settle.topic = "t";
  settle.group = "readers";
  for (const DeliveryHeader& delivery : received.deliveries) {
    settle.items.push_back({delivery.queue, delivery.offset, delivery.attempt, SettleAction::kAck});
  }
  return settle;
}

}  // namespace

TEST_CASE("what is sent is received, byte for byte, and gone after its ack") {
  TestBroker broker;
  GreetedClient client(broker);
  create_topic(client, "t");
  const std::vector<std::string> sent{"one", "", std::string(300'000, 'x')};
  for (const std::string& body : sent) client.get<SendResponse>(send_to("t"), block_of(body));
  const auto answer = client.ask(receive_from("t"));
  CHECK(bodies(answer) == sent);
  const auto received = std::get<ReceiveResponse>(answer.response.value());
  const auto settled = client.get<SettleResponse>(ack_all(received));
  CHECK(settled.results == std::vector<ErrorCode>(3, ErrorCode::kOk));
  CHECK(client.get<ReceiveResponse>(receive_from("t", 1)).deliveries.empty());
}

TEST_CASE("a receive that waits is answered when a message comes") {
  TestBroker broker;
  GreetedClient sender(broker), reader(broker);
  create_topic(sender, "t");
  reader.send(receive_from("t", 20'000));
  sender.get<SendResponse>(send_to("t"), block_of("late"));
  const auto answer = reader.receive();
  REQUIRE(answer);
  CHECK(bodies(*answer) == std::vector<std::string>{"late"});
}

TEST_CASE("a half message is received when its transaction commits, not before") {
  TestBroker broker;
  GreetedClient client(broker);
  create_topic(client, "t");
  const auto half = client.get<PrepareResponse>(prepare_for("t", "tx"), block_of("half"));
  CHECK(half.handle.log == client.hello_response.log);
  CHECK(client.get<ReceiveResponse>(receive_from("t", 1)).deliveries.empty());
  const auto ended = client.get<EndResponse>(end_of("tx", Decision::kCommit, half.handle));
  CHECK(ended.result.state == TransactionState::kCommitted);
  CHECK(bodies(client.ask(receive_from("t"))) == std::vector<std::string>{"half"});
  CHECK(client.error_of(end_of("tx", Decision::kRollback, half.handle)) == ErrorCode::kConflict);
}

TEST_CASE("a check is asked, its receipt counted, and its answer decides") {
  broker::Settings settings;
  settings.core.first_check_ms = 1;
  TestBroker broker(settings);
  GreetedClient client(broker);
  create_topic(client, "t");
  RegisterCheckerRequest checker;
  checker.group = "makers";
  checker.stores = {StoreId{}};
  client.get<RegisterCheckerResponse>(checker);
  client.send(prepare_for("t", "tx"), block_of("half"));
  std::optional<CheckRequest> check;
  while (!check) {
    auto got = client.receive();
    REQUIRE(got);
    if (got->is_answer) {
      CHECK(got->response);
      continue;
    }
    check = std::get<CheckRequest>(got->request);
    CHECK(got->id == RequestId(check->challenge));
    wire::Codec codec;
    std::string receipt;
    codec.append_response(got->id, CheckResponse{}, {}, receipt);
    client.send(receipt);
  }
  CHECK(check->transaction == "tx");
  AnswerCheckRequest verdict;
  verdict.transaction = "tx";
  verdict.challenge = check->challenge;
  verdict.decision = Decision::kCommit;
  verdict.messages = 1;
  CHECK(client.get<AnswerCheckResponse>(verdict).result.state == TransactionState::kCommitted);
  ShowTransactionRequest show;
  show.transaction = "tx";
  CHECK(client.get<ShowTransactionResponse>(show).transaction.checks == 1);
}

TEST_CASE("a closed connection gives its leases back at once") {
  TestBroker broker;
  GreetedClient sender(broker), second(broker);
  create_topic(sender, "t");
  sender.get<SendResponse>(send_to("t"), block_of("once more"));
  {
    GreetedClient first(broker);
    CHECK(first.get<ReceiveResponse>(receive_from("t")).deliveries.size() == 1);
  }
  CHECK(bodies(second.ask(receive_from("t"))) == std::vector<std::string>{"once more"});
}

TEST_CASE("messages that are no longer in memory are read from the disk") {
  MemoryFileSystem files;
  TestBroker broker({}, {}, files);
  GreetedClient client(broker);
  create_topic(client, "t");
  std::vector<std::string> sent;
  for (char c = 'a'; c < 'u'; ++c) {
    sent.emplace_back(100'000, c);
    client.get<SendResponse>(send_to("t"), block_of(sent.back()));
  }
  files.set_cold(true);
  CHECK(bodies(client.ask(receive_from("t"))) == sent);
  for (const StatValue& stat : client.get<StatsResponse>(StatsRequest{}).values) {
    if (stat.name == "cold_grants") CHECK(stat.value == 1);
  }
}

TEST_CASE("a message damaged on disk is never delivered, the others are") {
  TestBroker broker;
  GreetedClient client(broker);
  create_topic(client, "t");
  client.get<SendResponse>(send_to("t"), block_of("before it"));
  client.get<SendResponse>(send_to("t"), block_of("some body to be damaged"));
  client.get<SendResponse>(send_to("t"), block_of("behind it"));
  bool damaged = false;
  for (const std::string& path : broker.segments()) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    std::stringstream content;
    content << file.rdbuf();
    const std::size_t at = content.str().find("some body to be damaged");
    if (at == std::string::npos) continue;
    file.seekp(static_cast<std::streamoff>(at));
    file.put('S');
    damaged = true;
  }
  REQUIRE(damaged);
  {
    GreetedClient first(broker);
    const auto answer = first.ask(receive_from("t"));
    CHECK(bodies(answer) == std::vector<std::string>{"before it", "behind it"});
    first.get<SettleResponse>(ack_all(std::get<ReceiveResponse>(answer.response.value())));
  }
  // Given back with the connection, it is all there is to grant.
  CHECK(client.error_of(receive_from("t")) == ErrorCode::kDataDamaged);
  const auto listed = client.get<ListGroupsResponse>(ListGroupsRequest{.name = "readers"});
  CHECK(listed.groups.at(0).queues.at(0).damaged == 1);
}

TEST_CASE("sessions on several I/O threads work on the same topic") {
  broker::Settings settings;
  settings.io_threads = 3;
  TestBroker broker(settings);
  std::vector<std::unique_ptr<GreetedClient>> clients;
  for (int i = 0; i < 6; ++i) clients.push_back(std::make_unique<GreetedClient>(broker));
  create_topic(*clients[0], "t");
  for (auto& client : clients) client->get<SendResponse>(send_to("t"), block_of("x"));
  CHECK(clients[5]->get<ReceiveResponse>(receive_from("t")).deliveries.size() == 6);
}

}  // namespace tally::testing
