#include "producer-sdk/sends.h"

#include <catch2/catch.hpp>
#include <initializer_list>
#include <string>
#include <vector>

namespace tally {
namespace {

constexpr std::int64_t kTimeoutMs = 1'000;
constexpr std::uint64_t kProducer = 99;
const Error kCutOff(ErrorCode::kDisconnected, "the connection broke");

LogId log_of(std::uint8_t byte) {
  LogId log;
  log.bytes[0] = byte;
  return log;
}

/// A producer's sends on a test's desk: what each caller was told, as text.
struct Desk {
  Sends sends{kProducer};
  std::int64_t now = 1'000;
  std::vector<std::string> told{};

  void add(std::string body) {
    sends.add({"topic", body, now + kTimeoutMs, [this, body](Result<SendReceipt>&& result) {
                 const std::string what = result ? std::to_string(result->id.lsn.value)
                                                 : std::string(name(result.error().code));
                 told.push_back(body + " " + what);
               }});
  }
  void connect(std::uint8_t log = 1) { sends.connected(log_of(log)); }
  /// The sequences that are to be asked now.
  std::vector<std::uint64_t> ask() {
    std::vector<std::uint64_t> sequences;
    while (const auto asked = sends.next(now)) {
      CHECK(asked->request.producer == kProducer);
      sequences.push_back(asked->request.sequence);
    }
    return sequences;
  }
  void answer(std::uint64_t sequence, Result<SendResponse> answer) {
    sends.answered(now, sequence, std::move(answer));
    tell();
  }
  /// The connection breaks with these in flight.
  void cut_off(std::initializer_list<std::uint64_t> flying) {
    for (const std::uint64_t sequence : flying) answer(sequence, kCutOff);
    sends.disconnected(kCutOff);
  }
  void store(std::uint64_t sequence) { answer(sequence, SendResponse{.lsn = Lsn(sequence * 100)}); }
  void tick(std::int64_t later_ms) {
    now += later_ms;
    sends.tick(now);
    tell();
  }
  void tell() {
    std::vector<Sends::Ended> all;
    sends.take_ended(all);
    for (auto& ended : all) ended.callback(std::move(ended.result));
  }
  using Told = std::vector<std::string>;
};

using Sequences = std::vector<std::uint64_t>;

TEST_CASE("messages are numbered from one in the order of sending") {
  Desk desk;
  desk.add("a");
  desk.add("b");
  CHECK(desk.ask().empty());  // not connected yet
  desk.connect();
  CHECK(desk.ask() == Sequences{1, 2});
  desk.store(2);
  desk.add("c");
  CHECK(desk.ask() == Sequences{3});
  desk.store(1);
  desk.store(3);
  CHECK(desk.told == Desk::Told{"b 200", "a 100", "c 300"});
}

TEST_CASE("what was cut off is asked again under its number, before what came later") {
  Desk desk;
  desk.connect();
  for (const char* body : {"a", "b", "c"}) desk.add(body);
  CHECK(desk.ask() == Sequences{1, 2, 3});
  desk.store(2);
  desk.cut_off({1, 3});
  desk.add("d");
  CHECK(desk.ask().empty());
  desk.connect();
  CHECK(desk.ask() == Sequences{1, 3, 4});
  for (const std::uint64_t sequence : Sequences{1, 3, 4}) desk.store(sequence);
  CHECK(desk.told == Desk::Told{"b 200", "a 100", "c 300", "d 400"});
}

TEST_CASE("what the connection still holds is not asked twice") {
  Desk desk;
  desk.connect();
  desk.add("a");
  desk.add("b");
  CHECK(desk.ask() == Sequences{1, 2});
  desk.cut_off({1});  // 2 was not written yet
  desk.connect();
  CHECK(desk.ask() == Sequences{1});
}

TEST_CASE("no sequence is asked that would push an unanswered one out of the broker's memory") {
  Desk desk;
  desk.connect();
  for (std::size_t i = 0; i < Sends::kWindow + 2; ++i) desk.add("m");
  CHECK(desk.ask().size() == Sends::kWindow);
  desk.store(2);  // the oldest one is still unanswered
  CHECK(desk.ask().empty());
  desk.store(1);
  CHECK(desk.ask() == Sequences{Sends::kWindow + 1, Sends::kWindow + 2});
}

TEST_CASE("a refusal is definite only when no attempt was cut off before") {
  Desk desk;
  desk.connect();
  desk.add("a");
  desk.add("b");
  CHECK(desk.ask() == Sequences{1, 2});
  desk.answer(1, Error(ErrorCode::kDiskFull, "full"));
  desk.cut_off({2});
  desk.connect();
  CHECK(desk.ask() == Sequences{2});
  desk.answer(2, Error(ErrorCode::kDiskFull, "full"));
  CHECK(desk.told == Desk::Told{"a DISK_FULL", "b DISCONNECTED"});
}

TEST_CASE("without a connection a send ends at its deadline, definitely when it was never asked") {
  Desk desk;
  desk.connect();
  desk.add("a");
  CHECK(desk.ask() == Sequences{1});
  desk.cut_off({1});
  desk.now += 1;
  desk.add("b");
  CHECK(desk.sends.next_tick_ms() == desk.now - 1 + kTimeoutMs);
  desk.tick(kTimeoutMs - 2);
  CHECK(desk.told.empty());
  desk.tick(1);
  desk.tick(1);
  CHECK(desk.told == Desk::Told{"a DISCONNECTED", "b UNREACHABLE"});
  CHECK(desk.sends.next_tick_ms() == Sends::kNever);
  desk.connect();
  desk.add("c");
  CHECK(desk.ask() == Sequences{3});
}

TEST_CASE("a repeat has the time that is left") {
  Desk desk;
  desk.connect();
  desk.add("a");
  CHECK(desk.sends.next(desk.now)->timeout_ms == kTimeoutMs);
  desk.cut_off({1});
  desk.connect();
  CHECK(desk.sends.next(desk.now + 400)->timeout_ms == kTimeoutMs - 400);
}

TEST_CASE("what was cut off is not repeated to another log") {
  Desk desk;
  desk.connect(1);
  desk.add("a");
  CHECK(desk.ask() == Sequences{1});
  desk.cut_off({1});
  desk.add("b");
  desk.connect(2);
  desk.tell();
  CHECK(desk.ask() == Sequences{2});
  desk.store(2);
  CHECK(desk.told == Desk::Told{"a DISCONNECTED", "b 200"});
}

TEST_CASE("at the end a send that may be stored does not end definitely") {
  Desk desk;
  desk.connect();
  desk.add("a");
  CHECK(desk.ask() == Sequences{1});
  desk.cut_off({1});
  desk.add("b");
  desk.sends.close();
  desk.tell();
  CHECK(desk.told == Desk::Told{"a DISCONNECTED", "b CLOSED"});
}

}  // namespace
}  // namespace tally
