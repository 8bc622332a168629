#include "tests/crash/crash_oracle.h"

#include <catch2/catch.hpp>

#include "store/record_extensions.h"

namespace tally::test {
namespace {

using Number = CrashOracle::Number;

struct SetClock final : Clock {
  std::int64_t ms = 0;
  std::int64_t wall_ms() const override { return ms; }
  std::int64_t boot_us() const override { return ms * 1000; }
};

struct History {
  CrashOracle oracle{20};

  static DeliveryHeader at(std::uint64_t lsn, std::uint64_t offset, std::uint32_t attempt = 1) {
    return {.lsn = Lsn(lsn), .offset = Offset(offset), .attempt = attempt};
  }
  Number sent(std::uint64_t lsn, std::uint64_t offset) {
    const Number number = oracle.begin_send();
    oracle.send_acknowledged(number, {.lsn = Lsn(lsn), .offset = Offset(offset)});
    return number;
  }
  Number prepared(std::uint64_t lsn, Decision decision = Decision::kCommit) {
    const Number number = oracle.begin_transaction(decision);
    oracle.half_acknowledged(number, {.lsn = Lsn(lsn)});
    return number;
  }
  void delivered(Number number, const DeliveryHeader& delivery) {
    oracle.consumed(oracle.body(number), delivery);
    oracle.audited(oracle.body(number), delivery);
  }
  void check(std::uint64_t lost, std::uint64_t invented) const {
    const auto verdict = oracle.verdict();
    CHECK(verdict.lost == lost);
    CHECK(verdict.invented == invented);
    CHECK(verdict.examples.size() == lost + invented);
  }
};

TEST_CASE("a history in which everything was kept has no finding") {
  History history;
  const Number sent = history.sent(8, 0);
  const Number committed = history.prepared(16);
  history.oracle.end_asked(committed);
  history.oracle.end_acknowledged(committed);
  const Number rolled_back = history.prepared(24, Decision::kRollback);
  history.oracle.end_asked(rolled_back);
  history.oracle.end_acknowledged(rolled_back);
  history.prepared(32);
  history.oracle.begin_send();
  history.delivered(sent, History::at(8, 0));
  history.delivered(committed, History::at(16, 1));
  history.check(0, 0);
  CHECK(history.oracle.verdict().acknowledged == 6);
  CHECK(history.oracle.transactions().size() == 3);
}

TEST_CASE("an acknowledged message that a group does not get is lost") {
  History history;
  const DeliveryHeader delivery = History::at(8, 0);
  const Number number = history.sent(8, 0);
  SECTION("the load's") { history.oracle.audited(history.oracle.body(number), delivery); }
  SECTION("the auditing") { history.oracle.consumed(history.oracle.body(number), delivery); }
  history.check(1, 0);
}

TEST_CASE("a message whose COMMIT was acknowledged must be delivered") {
  History history;
  const Number number = history.prepared(8);
  history.oracle.end_asked(number);
  history.check(0, 0);
  history.oracle.end_acknowledged(number);
  history.check(1, 0);
}

TEST_CASE("bytes that nobody sent are invented") {
  History history;
  const Number number = history.sent(8, 0);
  history.delivered(number, History::at(8, 0));
  std::string body = history.oracle.body(number);
  SECTION("of no number") { body = "hello"; }
  SECTION("of an unknown number") { body = history.oracle.body(number + 1); }
  SECTION("of a known number") { body.back() ^= 1; }
  history.oracle.audited(body, History::at(8, 0));
  history.check(0, 1);
}

TEST_CASE("a message that was refused is invented when it appears") {
  History history;
  const Number number = history.oracle.begin_send();
  history.oracle.refused(number);
  history.oracle.audited(history.oracle.body(number), History::at(8, 0));
  history.check(0, 1);
}

TEST_CASE("a message of a transaction without a COMMIT is invented") {
  History history;
  const Number number = history.prepared(8, GENERATE(Decision::kCommit, Decision::kRollback));
  history.oracle.audited(history.oracle.body(number), History::at(8, 0));
  history.check(0, 1);
}

TEST_CASE("a message at another place than the one acknowledged is invented") {
  History history;
  const Number number = history.sent(8, 0);
  const auto delivery = GENERATE(History::at(8, 1), History::at(16, 0));
  history.oracle.consumed(history.oracle.body(number), delivery);
  history.oracle.audited(history.oracle.body(number), History::at(8, 0));
  history.check(0, 1);
}

TEST_CASE("a message that stands in its queue twice is invented") {
  History history;
  const Number number = history.oracle.begin_send();
  history.delivered(number, History::at(8, 0));
  history.delivered(number, History::at(16, 1));
  history.check(0, 1);
}

TEST_CASE("a settle that was acknowledged holds") {
  History history;
  const Number number = history.sent(8, 0);
  history.delivered(number, History::at(8, 0));
  const auto settled = [&](SettleAction action) {
    history.oracle.settle_acknowledged(number, 1, action, EntryIndex(9));
  };
  SECTION("an acknowledged message is not granted again") {
    settled(SettleAction::kAck);
    history.oracle.consumed(history.oracle.body(number), History::at(8, 0, 2));
  }
  SECTION("the attempt of a refused message has grown") {
    settled(SettleAction::kNack);
    history.oracle.consumed(history.oracle.body(number), History::at(8, 0, 2));
    history.check(0, 0);
    history.oracle.consumed(history.oracle.body(number), History::at(8, 0, 1));
  }
  history.check(1, 0);
}

TEST_CASE("what is answered after the books were closed is no promise") {
  History history;
  history.oracle.close_books();
  history.sent(8, 0);
  const Number number = history.prepared(16);
  history.oracle.end_asked(number);
  history.oracle.end_acknowledged(number);
  history.check(0, 0);
  CHECK(history.oracle.transactions().empty());
  history.oracle.open_books();
  history.sent(24, 1);
  history.check(1, 0);
}

TEST_CASE("where messages are given up, only old ones below the first offset may be missing") {
  SetClock clock;
  History history{CrashOracle(20, 1'000, clock)};
  history.sent(8, 0);
  clock.ms = 700;
  history.oracle.retention_ends();
  history.oracle.floor(QueueId(0), Offset(1));
  history.check(1, 0);

  clock.ms = 900;
  history.oracle.retention_ends();
  history.check(0, 0);
  history.oracle.floor(QueueId(0), Offset(0));
  history.check(1, 0);
}

TEST_CASE("an entry is promised up to the newest acknowledged operation") {
  History history;
  const auto entry = [](std::uint64_t index, std::uint64_t lsn) {
    return store::EntryView{.header = {.index = EntryIndex(index), .lsn = Lsn(lsn)}};
  };
  CHECK_FALSE(history.oracle.promised(entry(1, 8)));
  history.sent(100, 0);
  CHECK(history.oracle.promised(entry(1, 8)));
  CHECK_FALSE(history.oracle.promised(entry(2, 108)));
  const Number number = history.sent(50, 1);
  history.oracle.settle_acknowledged(number, 1, SettleAction::kAck, EntryIndex(3));
  CHECK(history.oracle.promised(entry(3, 208)));
  CHECK_FALSE(history.oracle.promised(entry(4, 308)));
}

TEST_CASE("an entry with an acknowledged END is promised") {
  History history;
  const Number number = history.prepared(8);
  history.oracle.end_asked(number);
  std::string extension;
  store::encode(store::EndExtension{.decision = Decision::kCommit,
                                    .transaction = CrashOracle::transaction_id(number)},
                extension);
  store::Entry entry;
  entry.begin(EntryIndex(2), Term(1), Lsn(100));
  entry.add(store::RecordType::kEnd, 0, TopicUid(), extension);
  entry.seal(1);
  CHECK_FALSE(history.oracle.promised(entry.view()));
  history.oracle.end_acknowledged(number);
  CHECK(history.oracle.promised(entry.view()));
}

}  // namespace
}  // namespace tally::test
