// Numbered messages: (producer, sequence) gives one message and the first answer.

#include "broker/core/producers.h"

#include <catch2/catch.hpp>
#include <map>
#include <random>

#include "tests/core/test_broker.h"

namespace tally::broker {
namespace {

struct Scene {
  explicit Scene(CoreOptions options = {}) : broker(options) {
    broker.make_topic("t", 3);
    broker.make_topic("u");
    session = broker.connect("p");
  }
  RequestId submit(std::uint64_t producer, std::uint64_t sequence, std::uint64_t digest = 1,
                   const std::string& topic = "t") {
    return broker.send_numbered(session, topic, producer, sequence, digest);
  }
  Result<SendResponse> send(std::uint64_t producer, std::uint64_t sequence,
                            std::uint64_t digest = 1, const std::string& topic = "t") {
    return broker.wait_for<SendResponse>(submit(producer, sequence, digest, topic));
  }
  void restart(TestBroker::Start how) {
    broker.restart(how);
    session = broker.connect("p");
  }
  TestBroker broker;
  SessionId session{};
};

}  // namespace

TEST_CASE("a numbered message that is sent again gets the first answer, across restarts") {
  Scene s;
  const SendResponse first = s.send(7, 1).value();
  REQUIRE(s.send(7, 2).value() != first);
  REQUIRE(s.send(8, 1).value() != first);
  for (const TestBroker::Start how : {TestBroker::Start::kCheckpoint, TestBroker::Start::kRebuild,
                                      TestBroker::Start::kCheckpoint}) {
    REQUIRE(s.send(7, 1).value() == first);
    REQUIRE(s.send(7, 1, 2).error().code == ErrorCode::kIdReused);
    REQUIRE(s.send(7, 1, 1, "u").error().code == ErrorCode::kIdReused);
    REQUIRE(s.broker.published("t") == 3);
    s.broker.checkpoint();
    s.restart(how);
  }
  REQUIRE(s.send(7, 0).error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("the same numbered message twice in flight is published once") {
  Scene s;
  const RequestId one = s.submit(7, 1), other = s.submit(7, 1), wrong = s.submit(7, 1, 2);
  const SendResponse first = s.broker.wait_for<SendResponse>(one).value();
  REQUIRE(s.broker.wait_for<SendResponse>(other).value() == first);
  REQUIRE(s.broker.wait_for<SendResponse>(wrong).error().code == ErrorCode::kIdReused);
  REQUIRE(s.broker.published("t") == 1);
  REQUIRE(s.broker.core().counters().repeated_sends == 1);
}

TEST_CASE("what is behind the window is refused: it could be a repeat") {
  Scene s;
  REQUIRE(s.send(7, 1));
  REQUIRE(s.send(7, kProducerWindow));
  REQUIRE(s.send(7, 1));
  REQUIRE(s.send(7, kProducerWindow + 1));
  REQUIRE(s.send(7, 1).error().code == ErrorCode::kExpired);
  REQUIRE(s.send(7, 2));
  s.broker.checkpoint();
  s.restart(TestBroker::Start::kCheckpoint);
  REQUIRE(s.send(7, 1).error().code == ErrorCode::kExpired);
  REQUIRE(s.broker.published("t") == 4);
}

TEST_CASE("the producers that sent longest ago are forgotten first") {
  Scene s;
  REQUIRE(s.send(1, 1));
  REQUIRE(s.send(2, 1));
  REQUIRE(s.send(1, 2));
  const TestBroker::Start how =
      GENERATE(TestBroker::Start::kCheckpoint, TestBroker::Start::kRebuild);
  for (std::uint64_t producer = 3; producer <= kProducersMax + 1; ++producer) {
    s.submit(producer, 1);
    if (producer % 500 == 0) {
      s.broker.run();
      s.broker.checkpoint();
      s.restart(how);
    }
  }
  s.broker.run();
  const std::uint64_t published = s.broker.published("t");
  REQUIRE(s.send(1, 1));
  REQUIRE(s.broker.published("t") == published);
  REQUIRE(s.send(2, 1));
  REQUIRE(s.broker.published("t") == published + 1);
  s.broker.checkpoint();
  REQUIRE(s.broker.rows(keys::Kind::kProducer) == kProducersMax);
}

TEST_CASE("random repeats, crashes and cuts of the log never give a numbered message twice") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    Scene s({.transaction_lifetime_ms = 300, .retention_ms = 2'000});
    std::map<std::pair<std::uint64_t, std::uint64_t>, SendResponse> answered;
    std::map<std::uint64_t, std::uint64_t> newest;
    std::map<std::uint64_t, std::pair<std::uint64_t, std::uint64_t>> waiting;
    for (int step = 0; step < 2'000; ++step) {
      const std::uint64_t producer = 1 + random() % 3;
      std::uint64_t& next = newest[producer];
      if (random() % 3 != 0 || next == 0) ++next;
      const std::uint64_t sequence = next - random() % std::min<std::uint64_t>(next, 50);
      waiting[s.submit(producer, sequence).value] = {producer, sequence};
      if (random() % 4 == 0) {
        s.broker.run();
        for (const auto& [request, name] : std::exchange(waiting, {})) {
          auto answer = s.broker.answer(RequestId(request));
          REQUIRE((answer && *answer));
          const auto place = std::get<SendResponse>(**answer);
          REQUIRE(answered.try_emplace(name, place).first->second == place);
        }
      }
      if (random() % 20 == 0) s.broker.pass(500, "u");
      if (random() % 100 == 0) {
        waiting.clear();
        s.restart(random() % 2 == 0 ? TestBroker::Start::kCheckpoint : TestBroker::Start::kRebuild);
      }
    }
    REQUIRE(s.broker.log_first().value > 0);
    REQUIRE(answered.size() > 500);
  }
}

}  // namespace tally::broker
