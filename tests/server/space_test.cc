// What the server does around the log's and the index's room on the disk.

#include <catch2/catch.hpp>
#include <thread>

#include "broker/server/index_room.h"
#include "broker/server/space_watch.h"
#include "tests/server/server_fixture.h"
#include "tests/support/memory_file_system.h"

namespace tally::testing {

using broker::IndexRoom;
using store::Space;

namespace {

std::uint64_t stat(RawClient& client, std::string_view name) {
  for (const StatValue& value : client.get<StatsResponse>(StatsRequest{}).values) {
    if (value.name == name) return value.value;
  }
  FAIL("there is no " << name);
  return 0;
}

}  // namespace

TEST_CASE("the room of the index is made when the disk has it, and given once") {
  MemoryFileSystem files;
  REQUIRE(files.make_directories("/0"));
  files.set_capacity(999);
  IndexRoom room(files, "/0/index.room", 1'000);
  REQUIRE(room.make());
  CHECK(files.list("/0")->empty());
  CHECK_FALSE(*room.give());
  files.set_capacity(1'000);
  REQUIRE(room.make());
  REQUIRE(room.make());
  CHECK(files.disk_space("/0")->free_bytes == 0);
  CHECK(*room.give());
  CHECK_FALSE(*room.give());
  CHECK(files.disk_space("/0")->free_bytes == 1'000);
}

TEST_CASE("a room that cannot be finished is not begun") {
  MemoryFileSystem files;
  REQUIRE(files.make_directories("/0"));
  IndexRoom room(files, "/0/index.room", 1'000);
  files.inject({files.operations() + 1, ErrorCode::kDiskFull});  // create, allocate
  REQUIRE(room.make());
  CHECK(files.list("/0")->empty());
  files.inject({files.operations() + 1, ErrorCode::kIo});
  CHECK(room.make().error().code == ErrorCode::kIo);
}

TEST_CASE("a change of space reaches the core and the counters") {
  spdlog::set_level(spdlog::level::off);
  MemoryFileSystem files;
  broker::Mailbox<broker::CoreMail> core;
  broker::Counters counters;
  broker::SpaceWatch watch(files, "/", core, counters);
  for (const Space space : {Space::kLow, Space::kReserve, Space::kLow, Space::kEnough}) {
    watch.changed(space);
    broker::CoreMail mail;
    REQUIRE(core.take(mail, 0));
    CHECK(mail.space == space);
    CHECK(broker::read(counters.space) == static_cast<std::uint64_t>(space));
    CHECK((broker::read(counters.space_low_since_ms) == 0) == (space == Space::kEnough));
  }
  const std::uint64_t low_ms = broker::space_low_ms(counters);
  CHECK(low_ms == broker::read(counters.space_low_ms));
  watch.changed(Space::kLow);
  CHECK(broker::space_low_ms(counters) >= low_ms);
}

TEST_CASE("a broker has its reserve and the index's room from its first start on") {
  TestBroker broker;
  CHECK(std::filesystem::file_size(broker.folder.file("0/log/reserve.segment")) ==
        2 * limits::kSegmentBytesMin + limits::kEntryBytesMax + (1u << 20));
  CHECK(std::filesystem::file_size(broker.folder.file("0/index.room")) == 8u << 20);
  GreetedClient client(broker);
  CHECK(stat(client, "space") == 0);
  CHECK(stat(client, "space_low_ms") == 0);
}

TEST_CASE("a new broker without room for its reserve makes nothing") {
  spdlog::set_level(spdlog::level::off);
  MemoryFileSystem files;
  files.set_capacity(2 * limits::kSegmentBytesMin);
  broker::Settings settings;
  settings.listen = "127.0.0.1:0";
  settings.data_dir = "/data";
  settings.segment_bytes = limits::kSegmentBytesMin;
  const auto refused = broker::Server::start(settings, {}, files);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kDiskFull);
  CHECK_THAT(refused.error().message,
             Catch::Matchers::Contains("a new log needs 8388608 bytes, 2097152 are free"));
  CHECK(files.list("/data/0/log")->empty());
  CHECK_FALSE(files.exists("/data/0/index").value());
}

TEST_CASE("a broker on a full disk ends what was begun, also after a restart, and comes back") {
  MemoryFileSystem files;
  TestBroker broker({}, {}, files);
  std::vector<Handle> handles;
  std::uint64_t sent = 0;
  {
    GreetedClient client(broker);
    create_topic(client, "t");
    for (const char* id : {"first", "second"})
      handles.push_back(client.get<PrepareResponse>(prepare_for("t", id), block_of(id)).handle);
    const auto disk = files.disk_space(broker.folder.path());
    files.set_capacity(disk->total_bytes - disk->free_bytes);
    const std::string block = block_of(std::string(30'000, 'x'));
    ErrorCode error = ErrorCode::kOk;
    while ((error = client.error_of(send_to("t"), block)) == ErrorCode::kOk) ++sent;
    CHECK(error == ErrorCode::kDiskFull);
    CHECK(stat(client, "space") != 0);
    CHECK(client.error_of(prepare_for("t", "third"), block) == ErrorCode::kDiskFull);
    client.get<EndResponse>(end_of("first", Decision::kCommit, handles[0]));
  }
  broker.restart();
  GreetedClient client(broker);
  CHECK(stat(client, "space") != 0);
  CHECK(client.error_of(send_to("t"), block_of("no")) == ErrorCode::kDiskFull);
  client.get<EndResponse>(end_of("second", Decision::kCommit, handles[1]));
  files.set_capacity(UINT64_MAX);
  while (stat(client, "space") != 0) std::this_thread::yield();
  CHECK(stat(client, "space_low_ms") > 0);
  client.get<SendResponse>(send_to("t"), block_of("yes"));
  ListTopicsRequest list;
  list.name = "t";
  CHECK(client.get<ListTopicsResponse>(list).topics[0].queues[0].next.value == sent + 3);
}

}  // namespace tally::testing
