// kill -9 of a real tallyd under load, at random moments and at named fail-points, twenty times.

#include <stdlib.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>

#include "protocol/base/message_block.h"
#include "tests/crash/crash_load.h"
#include "tools/process/child_process.h"

namespace tally::test {
namespace {

constexpr int kKills = 20;
constexpr std::uint64_t kSendsBetween = 1'000;
constexpr std::uint64_t kTransactionsBetween = 200;
constexpr std::size_t kBodyBytes =
    2'800;  // so that twenty rounds fill more than fifty segments of 1 MiB
constexpr std::int64_t kTimeoutMs = 30'000;
constexpr const char* kTopic = "crash";

/// Fail-points at which the broker dies in round k, armed when the load of that round has been acknowledged.
constexpr const char* kUnderLoad[] = {"log.roll.after_header", "log.roll.after_directory_sync",
                                      "log.write.before_sync", "index.checkpoint.before_write",
                                      "index.checkpoint.after_write"};
/// Fail-points at which a restart dies, before the one that serves.
constexpr const char* kInRecovery[] = {"recovery.after_scan", "recovery.before_rewrite_sync"};

class CrashSite {
 public:
  CrashSite() : folder_(std::filesystem::temp_directory_path() / "tally-crash-XXXXXX") {
    REQUIRE(mkdtemp(folder_.data()) != nullptr);
  }
  ~CrashSite() {
    unsetenv("TALLY_FAIL_POINT");
    std::filesystem::remove_all(folder_);
  }

  /// Starts the broker. It kills itself at `fail_point`: when it gets there after arm(), or, if `armed`, at the first pass.
  Result<RunningBroker> start(std::string fail_point = {}, bool armed = false) {
    std::filesystem::remove(arm_file());
    if (!fail_point.empty() && !armed) fail_point += "@" + arm_file();
    setenv("TALLY_FAIL_POINT", fail_point.c_str(), 1);
    return start_broker(
        program_folder() + "/tallyd-testing",
        {"--data-dir", folder_ + "/data", "--listen", "127.0.0.1:0", "--segment-bytes", "1048576"},
        folder_ + "/tallyd.log");
  }
  void arm() { std::ofstream(arm_file()).put('x'); }

  std::uint64_t segments() const {
    auto entries = std::filesystem::directory_iterator(folder_ + "/data/0/log");
    return static_cast<std::uint64_t>(std::count_if(begin(entries), end(entries), [](auto& entry) {
      return entry.path().extension() == ".log";
    }));
  }

 private:
  std::string arm_file() const { return folder_ + "/armed"; }
  std::string folder_;
};

net::OwnedAnswer ask(net::Client& client, Request request) {
  return net::ask_and_wait(client, std::move(request), {}, kTimeoutMs).value();
}

/// Reads the topic to its end as a new group.
void drain(net::Client& client, CrashOracle& oracle) {
  for (;;) {
    ReceiveRequest request{
        .topic = kTopic, .group = "audit", .messages_max = 1'000, .wait_ms = 1'000};
    auto answer = ask(client, request);
    const auto& received = std::get<ReceiveResponse>(answer.response);
    if (received.deliveries.empty()) return;
    std::string_view blocks = answer.payload;
    SettleRequest settle{.topic = kTopic, .group = "audit"};
    for (const DeliveryHeader& delivery : received.deliveries) {
      auto block = MessageBlock::parse(blocks.substr(0, delivery.block_bytes)).value();
      blocks.remove_prefix(delivery.block_bytes);
      oracle.delivered(block.body(), delivery.queue, delivery.offset);
      settle.items.push_back({.queue = delivery.queue,
                              .offset = delivery.offset,
                              .attempt = delivery.attempt,
                              .action = SettleAction::kAck});
    }
    ask(client, settle);
  }
}

/// Ends every decided transaction again, both ways: the same is repeated, the opposite is a conflict.
void check_decisions(net::Client& client, const CrashOracle& oracle) {
  for (const auto& transaction : oracle.decided()) {
    EndRequest again{.transaction = transaction.id,
                     .group = "crash",
                     .decision = transaction.decision,
                     .messages = 1};
    auto same = ask(client, again);
    CHECK(std::get<EndResponse>(same.response).repeated);
    again.decision =
        transaction.decision == Decision::kCommit ? Decision::kRollback : Decision::kCommit;
    auto opposite = net::ask_and_wait(client, again, {}, kTimeoutMs);
    REQUIRE_FALSE(opposite.has_value());
    CHECK(opposite.error().code == ErrorCode::kConflict);
  }
}

std::unique_ptr<net::Client> connect(const RunningBroker& broker) {
  return net::Client::start({.broker = broker.address}, {}).value();
}

/// One load, and the kill that ends it: at a random moment, or at `fail_point`.
void kill_under_load(CrashSite& site, CrashOracle& oracle, std::mt19937_64& random,
                     const std::string& fail_point) {
  auto broker = site.start(fail_point).value();
  CrashLoad load(
      {.broker = broker.address, .topic = kTopic, .body_bytes = kBodyBytes, .seed = random()},
      oracle);
  REQUIRE(load.wait_for(kSendsBetween + random() % 500, kTransactionsBetween));
  if (fail_point.empty()) {
    broker.process.signal(SIGKILL);
  } else {
    site.arm();
  }
  REQUIRE(broker.process.wait() == -SIGKILL);
}

TEST_CASE("a broker killed under load loses nothing it acknowledged and invents nothing") {
  CrashSite site;
  CrashOracle oracle;
  std::mt19937_64 random(7);
  int at_fail_points = 0;
  {
    auto broker = site.start().value();
    ask(*connect(broker), CreateTopicRequest{.topic = kTopic});
  }
  for (int kills = 0; kills < kKills; ++kills) {
    // Of four kills one is at a fail-point, and one is followed by another during the recovery after it.
    std::size_t turn = static_cast<std::size_t>(kills) / 4;
    std::string fail_point = kills % 4 == 1 ? kUnderLoad[turn % std::size(kUnderLoad)] : "";
    kill_under_load(site, oracle, random, fail_point);
    at_fail_points += !fail_point.empty();
    if (kills % 4 == 3) {
      const char* in_recovery = kInRecovery[turn % std::size(kInRecovery)];
      INFO("the restart dies at " << in_recovery);
      REQUIRE_FALSE(site.start(in_recovery, true).has_value());
      ++at_fail_points;
    }
  }
  auto broker = site.start().value();
  auto client = connect(broker);
  check_decisions(*client, oracle);
  drain(*client, oracle);
  CrashOracle::Verdict verdict = oracle.compare();
  std::printf("%d kills, %llu acknowledged, %llu lost, %llu invented\n", kKills,
              static_cast<unsigned long long>(verdict.acknowledged),
              static_cast<unsigned long long>(verdict.lost),
              static_cast<unsigned long long>(verdict.invented));
  CHECK(verdict.acknowledged >= kKills * (kSendsBetween + kTransactionsBetween));
  CHECK(verdict.lost == 0);
  CHECK(verdict.invented == 0);
  CHECK(site.segments() > 50);
  CHECK(at_fail_points >= 5);
}

}  // namespace
}  // namespace tally::test
