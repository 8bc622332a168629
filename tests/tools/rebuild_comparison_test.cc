// Rows that are changed behind the broker's back are found, and only those.

#include "tools/log_inspect/rebuild_comparison.h"

#include <catch2/catch.hpp>

#include "broker/core/index_keys.h"
#include "store/index_store.h"
#include "tests/server/server_fixture.h"

namespace tally::tools {
namespace {

using testing::GreetedClient;
using testing::TestBroker;

/// A stopped broker with a topic, messages, and transactions that are pending and decided.
class Stopped {
 public:
  Stopped() {
    GreetedClient client(broker_);
    create_topic(client, "t");
    for (int i = 0; i < 300; ++i)
      client.get<SendResponse>(testing::send_to("t"), testing::block_of("sent"));
    const std::string half = testing::block_of("half");
    client.get<PrepareResponse>(testing::prepare_for("t", "open"), half);
    const auto begun = client.get<PrepareResponse>(testing::prepare_for("t", "ended"), half);
    client.get<EndResponse>(testing::end_of("ended", Decision::kCommit, begun.handle));
    broker_.stop();
  }

  Result<void> compare() const {
    const auto places = find_shards(broker_.folder.path()).value();
    return compare_with_rebuilt(places.at(0), cli::Format::kJson);
  }

  void change(const std::string& key, std::optional<std::string> value) {
    auto index =
        store::open_leveldb_index(store::real_file_system(), broker_.folder.file("0/index"))
            .value();
    const auto position = index->position().value();
    index->write({.operations = {{.key = key, .value = std::move(value)}}, .position = *position})
        .value();
  }

  TestBroker& broker() { return broker_; }
  std::string file(const std::string& name) const { return broker_.folder.file(name); }

 private:
  TestBroker broker_;
};

const ShardId kShard(0);

TEST_CASE("an index equals the state that the log gives") {
  Stopped stopped;
  CHECK(stopped.compare());
}

TEST_CASE("an index that is behind the log is compared where it stands") {
  Stopped stopped;
  std::filesystem::copy(stopped.file("0/index"), stopped.file("old"));
  stopped.broker().start();
  {
    GreetedClient client(stopped.broker());
    client.get<SendResponse>(testing::send_to("t"), testing::block_of("later"));
  }
  stopped.broker().stop();
  std::filesystem::remove_all(stopped.file("0/index"));
  std::filesystem::rename(stopped.file("old"), stopped.file("0/index"));
  CHECK(stopped.compare());
}

TEST_CASE("a row that is changed, lost or added is found") {
  Stopped stopped;
  using broker::keys::Kind;
  std::string key;
  std::optional<std::string> value;
  std::string told;
  SECTION("a queue's next offset") {
    key = broker::keys::queue(kShard, TopicUid(1), QueueId(0));
    value = std::string("\x05\x00\x00", 3);
    told = "queue";
  }
  SECTION("a block of a queue is gone") {
    key = broker::keys::block(kShard, TopicUid(1), QueueId(0), 0);
    told = "block";
  }
  SECTION("a decision is gone") {
    key = broker::keys::transaction(kShard, Kind::kDecided, "ended");
    told = "decided";
  }
  SECTION("a half is gone") {
    key = broker::keys::transaction(kShard, Kind::kOpen, "open");
    told = "open";
  }
  SECTION("a group that nobody made") {
    key = broker::keys::group(kShard, GroupUid(77));
    value = "invented";
    told = "group";
  }
  stopped.change(key, value);
  const auto compared = stopped.compare();
  REQUIRE_FALSE(compared);
  CHECK(compared.error().code == ErrorCode::kIndexDiffers);
  CHECK_THAT(compared.error().message,
             Catch::Matchers::Contains("1 rows are not what the log says"));
  CHECK_THAT(compared.error().message, Catch::Matchers::Contains("the first is " + told + " "));
}

TEST_CASE("while a broker runs nothing is compared") {
  Stopped stopped;
  stopped.broker().start();
  CHECK(stopped.compare().error().code == ErrorCode::kDataLocked);
  stopped.broker().stop();
  CHECK(stopped.compare());
}

TEST_CASE("an index of another log is told, and so is none") {
  Stopped stopped;
  SECTION("none") {
    std::filesystem::remove_all(stopped.file("0/index"));
    CHECK(stopped.compare().error().code == ErrorCode::kInvalidArgument);
  }
  SECTION("another's") {
    const Stopped other;
    std::filesystem::remove_all(stopped.file("0/index"));
    std::filesystem::copy(other.file("0/index"), stopped.file("0/index"));
    CHECK(stopped.compare().error().code == ErrorCode::kIndexDiffers);
  }
}

}  // namespace
}  // namespace tally::tools
