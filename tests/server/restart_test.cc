#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <thread>

#include "broker/server/shard.h"
#include "protocol/base/bytes.h"
#include "protocol/base/checksum.h"
#include "tests/server/server_fixture.h"

namespace tally::testing {
namespace {

Result<std::unique_ptr<broker::Server>> start(const broker::Settings& settings) {
  return broker::Server::start(settings);
}

}  // namespace

TEST_CASE("everything acknowledged is there after a restart") {
  TestBroker broker;
  Handle handle;
  {
    GreetedClient client(broker);
    create_topic(client, "t");
    client.get<SendResponse>(send_to("t"), block_of("sent"));
    handle = client.get<PrepareResponse>(prepare_for("t", "tx"), block_of("half")).handle;
  }
  broker.restart();
  {
    GreetedClient client(broker);
    CHECK(client.get<ReceiveResponse>(receive_from("t")).deliveries.size() == 1);
    const auto ended = client.get<EndResponse>(end_of("tx", Decision::kCommit, handle));
    CHECK_FALSE(ended.repeated);
  }
  broker.restart();
  GreetedClient client(broker);
  CHECK(client.get<EndResponse>(end_of("tx", Decision::kCommit, handle)).repeated);
  CHECK(client.error_of(end_of("tx", Decision::kRollback, handle)) == ErrorCode::kConflict);
  CHECK(client.get<ReceiveResponse>(receive_from("t")).deliveries.size() == 2);
}

TEST_CASE("what a volume takes from the promises is told") {
  using Kind = store::Volume::Kind;
  CHECK(broker::what_is_lost({.kind = Kind::kDisk}).empty());
  CHECK_THAT(std::string(broker::what_is_lost({.kind = Kind::kMemory, .type = "tmpfs"})),
             Catch::Matchers::Contains("no reboot"));
  CHECK_THAT(std::string(broker::what_is_lost({.kind = Kind::kRemote, .type = "nfs"})),
             Catch::Matchers::Contains("syncs and locks cannot be trusted"));
}

TEST_CASE("without its index the state is rebuilt from the log") {
  broker::Settings settings;
  // The rebuild stores its state several times on the way.
  settings.core.checkpoint_bytes = 300;
  TestBroker broker(settings);
  Handle handle;
  {
    GreetedClient client(broker);
    create_topic(client, "t");
    handle = client.get<PrepareResponse>(prepare_for("t", "tx"), block_of("half")).handle;
    client.get<EndResponse>(end_of("tx", Decision::kCommit, handle));
  }
  broker.stop();
  SECTION("removed") { std::filesystem::remove_all(broker.folder.file("0/index")); }
  SECTION("condemned by an error of the process before") {
    broker::condemn_index(broker.settings, ShardId(0), store::real_file_system());
  }
  SECTION("damaged") {
    for (const auto& entry : std::filesystem::directory_iterator(broker.folder.file("0/index"))) {
      std::ofstream(entry.path(), std::ios::trunc) << "garbage";
    }
  }
  broker.start();
  GreetedClient client(broker);
  CHECK(client.get<EndResponse>(end_of("tx", Decision::kCommit, handle)).repeated);
  CHECK(client.get<ReceiveResponse>(receive_from("t")).deliveries.size() == 1);
  CHECK_FALSE(std::filesystem::exists(broker.folder.file("0/index.condemned")));
}

TEST_CASE("a stop under load loses nothing that was acknowledged and refuses the rest") {
  TestBroker broker;
  {
    GreetedClient client(broker);
    create_topic(client, "t");
  }
  std::atomic<std::uint64_t> acknowledged = 0;
  std::thread load([&] {
    GreetedClient client(broker);
    const std::string block = block_of("x");
    for (int i = 0; i < 64; ++i) client.send(send_to("t"), block);
    while (const auto answer = client.receive()) {
      if (answer->response) acknowledged.fetch_add(1);
      client.send(send_to("t"), block);
    }
  });
  while (acknowledged.load() < 1'000) std::this_thread::yield();
  broker.stop();
  load.join();
  broker.start();
  GreetedClient client(broker);
  ListTopicsRequest list;
  list.name = "t";
  const auto topics = client.get<ListTopicsResponse>(list).topics;
  REQUIRE(topics.size() == 1);
  CHECK(topics[0].queues[0].next.value >= acknowledged.load());
}

TEST_CASE("two brokers do not share a data directory") {
  TestBroker broker;
  const auto second = start(broker.settings);
  REQUIRE_FALSE(second);
  CHECK(second.error().code == ErrorCode::kDataLocked);
  GreetedClient client(broker);
  CHECK(client.error_of(PingRequest{}) == ErrorCode::kOk);
}

TEST_CASE("a data directory of another format version is refused and left alone") {
  TestBroker broker;
  broker.stop();
  const std::string path = broker.segments().front();
  std::string original(4096, '\0');
  std::ifstream(path, std::ios::binary).read(original.data(), 4096);
  const auto write_header = [&](const std::string& header) {
    std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).write(header.data(), 4096);
  };
  std::string newer = original;
  store_le(newer.data() + 8, std::uint32_t{2});
  store_le(newer.data() + 4088, checksum(std::string_view(newer).substr(0, 4088)));
  write_header(newer);
  const auto refusal = [&] {
    const auto refused = start(broker.settings);
    return refused ? ErrorCode::kOk : refused.error().code;
  };
  const std::string index = broker.folder.file("0/index"), aside = broker.folder.file("aside");
  CHECK(refusal() == ErrorCode::kDataFormat);
  std::filesystem::rename(index, aside);
  CHECK(refusal() == ErrorCode::kDataFormat);
  std::filesystem::remove_all(index);
  std::filesystem::rename(aside, index);
  write_header(original);
  CHECK(refusal() == ErrorCode::kOk);
}

TEST_CASE("an address in use is refused with ADDRESS_IN_USE") {
  TestBroker broker, other;
  other.stop();
  broker::Settings settings = other.settings;
  settings.listen = broker.address();
  const auto refused = start(settings);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kAddressInUse);
  settings.listen = "not an address";
  CHECK(start(settings).error().code == ErrorCode::kInvalidArgument);
  other.start();
}

}  // namespace tally::testing
