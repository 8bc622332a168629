// The producer SDK with a real broker that is killed.

#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <set>
#include <tally/producer.hpp>
#include <utility>

#include "tests/server/server_fixture.h"
#include "tools/process/child_process.h"

namespace tally {
namespace {

using namespace std::chrono_literals;

constexpr const char* kTopic = "order.created";

RunningBroker start(const std::string& folder, const std::string& address) {
  return start_broker(program_folder() + "/tallyd", {"--data-dir", folder, "--listen", address})
      .value();
}

/// Sends that are in flight, at most a few hundred, and those that are stored.
class Load {
 public:
  explicit Load(Producer& producer) : producer_(producer) {}

  void send(int number) {
    std::unique_lock lock(mutex_);
    REQUIRE(changed_.wait_for(lock, 30s, [&] { return flying_ < 600; }));
    ++flying_;
    lock.unlock();
    producer_.send_async({.topic = kTopic, .body = std::to_string(number)},
                         [this](Result<SendReceipt>&& receipt) {
                           const std::lock_guard held(mutex_);
                           --flying_;
                           if (receipt) {
                             places_.emplace(receipt->queue, receipt->offset);
                           } else {
                             ++failed_;
                           }
                           changed_.notify_all();
                         });
  }
  bool wait_for_all() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 30s, [&] { return flying_ == 0; });
  }
  /// Each message's own.
  std::size_t places() const { return places_.size(); }
  int failed() const { return failed_; }

 private:
  Producer& producer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int flying_ = 0;
  std::set<std::pair<QueueId, Offset>> places_{};
  int failed_ = 0;
};

TEST_CASE("each send is stored once, however often the broker is killed under it") {
  constexpr int kKills = 8;
  constexpr int kBetween = 1'000;
  const testing::TemporaryFolder folder;
  auto broker = start(folder.path(), "127.0.0.1:0");
  {
    testing::RawClient client(broker.address);
    client.hello();
    testing::create_topic(client, kTopic, 4);
  }
  auto producer =
      Producer::connect({.broker = broker.address, .group = "shop", .timeout = 30s}).value();
  Load load(producer);
  int sent = 0;
  for (int kill = 0; kill <= kKills; ++kill) {
    while (sent < (kill + 1) * kBetween) load.send(++sent);
    if (kill == kKills) break;
    broker.process.signal(SIGKILL);
    CHECK(broker.process.wait() == -SIGKILL);
    broker = start(folder.path(), broker.address);
  }
  REQUIRE(load.wait_for_all());
  CHECK(load.failed() == 0);
  CHECK(load.places() == static_cast<std::size_t>(sent));

  testing::RawClient client(broker.address);
  client.hello();
  const auto topics = client.get<ListTopicsResponse>(ListTopicsRequest{.name = kTopic}).topics;
  REQUIRE(topics.size() == 1);
  std::uint64_t in_the_log = 0;
  for (const QueueInfo& queue : topics[0].queues) in_the_log += queue.next.value;
  CHECK(in_the_log == static_cast<std::uint64_t>(sent));
}

}  // namespace
}  // namespace tally
