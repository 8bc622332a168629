#include "protocol/net/request_table.h"

#include <catch2/catch.hpp>
#include <limits>
#include <map>
#include <random>

namespace tally::net {
namespace {

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kLateUs = 2 * 8'192;  // a bucket, rounded up

/// Adds a request whose callback, when called, adds `mark` to `called`.
RequestId add(RequestTable& table, std::int64_t deadline_us, std::vector<int>& called, int mark) {
  return table.add(RequestKind::kPing, deadline_us,
                   [&called, mark](Result<Answer>&&) { called.push_back(mark); });
}

void call(const AnswerCallback& callback) { callback(Answer{}); }

}  // namespace

TEST_CASE("an answered request is gone, and its id does not come back") {
  RequestTable table(4, 0);
  std::vector<int> called;
  const RequestId first = add(table, 1'000'000, called, 1);
  CHECK(table.is_waiting(first));
  CHECK_FALSE(table.find_flying(first));
  table.fly(first);
  CHECK(table.flying() == 1);
  REQUIRE(table.find_flying(first));
  CHECK(table.find_flying(first)->kind == RequestKind::kPing);
  call(table.answer(first));
  CHECK(called == std::vector{1});
  CHECK(table.flying() == 0);
  CHECK(table.open() == 0);

  const RequestId second = add(table, 1'000'000, called, 2);
  CHECK(static_cast<std::uint32_t>(second.value) == static_cast<std::uint32_t>(first.value));
  CHECK(second != first);
  CHECK_FALSE(table.is_waiting(first));
  table.fly(second);
  CHECK_FALSE(table.find_flying(first));
  CHECK(table.find_flying(second));
}

TEST_CASE("ids of an empty table, and wild ones, name nothing") {
  RequestTable table(4, 0);
  for (const std::uint64_t id : {0ull, 1ull, 1ull << 32, ~0ull}) {
    CHECK_FALSE(table.is_waiting(RequestId{id}));
    CHECK_FALSE(table.find_flying(RequestId{id}));
  }
}

TEST_CASE("a table is full at its limit, and abandoned requests count") {
  RequestTable table(2, 0);
  std::vector<int> called;
  table.fly(add(table, 1, called, 1));
  CHECK_FALSE(table.full());
  const RequestId second = add(table, 1'000'000'000, called, 2);
  CHECK(table.full());
  REQUIRE(table.pop_expired(1'000'000));
  CHECK(table.full());
  CHECK(table.flying() == 1);
  call(table.refuse(second));
  CHECK_FALSE(table.full());
}

TEST_CASE("a request that expires in flight keeps its place until the answer comes") {
  RequestTable table(4, 0);
  std::vector<int> called;
  const RequestId id = add(table, 10'000, called, 1);
  table.fly(id);
  const auto ended = table.pop_expired(10'000 + kLateUs);
  REQUIRE(ended);
  CHECK(ended->was_flying);
  call(ended->callback);
  CHECK_FALSE(table.pop_expired(10'000 + kLateUs));
  CHECK(table.flying() == 1);
  REQUIRE(table.find_flying(id));
  CHECK(table.find_flying(id)->abandoned);
  CHECK_FALSE(table.answer(id));
  CHECK(table.flying() == 0);
}

TEST_CASE("a waiting request that expires is gone at once, and tells its size") {
  RequestTable table(4, 0);
  std::vector<int> called;
  const RequestId id = add(table, 10'000, called, 1);
  table.set_frame_bytes(id, 77);
  const auto ended = table.pop_expired(10'000 + kLateUs);
  REQUIRE(ended);
  CHECK_FALSE(ended->was_flying);
  CHECK(ended->frame_bytes == 77);
  CHECK(table.open() == 0);
  CHECK_FALSE(table.is_waiting(id));
  CHECK_FALSE(table.pop_expired(10'000 + kLateUs));
  CHECK(table.next_due_us() == kNever);
}

TEST_CASE("requests end in the order of asking when the connection ends, waiting ones stay") {
  RequestTable table(8, 0);
  std::vector<int> called;
  const RequestId gone = add(table, 1'000'000'000, called, 0);
  const RequestId one = add(table, 1'000'000'000, called, 1);
  call(table.refuse(gone));  // so that the next one gets the lowest slot
  called.clear();
  const RequestId two = add(table, 1'000'000'000, called, 2);
  const RequestId three = add(table, 1'000'000'000, called, 3);
  const RequestId lost = add(table, 1'000, called, 4);
  for (const RequestId id : {three, two, one, lost}) {
    if (id != three) table.fly(id);
  }
  REQUIRE(table.pop_expired(1'000'000));
  for (auto& ended : table.take_flying()) call(ended.callback);
  CHECK(called == std::vector{1, 2});
  CHECK(table.flying() == 0);
  CHECK(table.open() == 1);
  for (auto& ended : table.take_all()) call(ended.callback);
  CHECK(called == std::vector{1, 2, 3});
  CHECK(table.open() == 0);
}

TEST_CASE("a callback may answer another request that is already due") {
  RequestTable table(4, 0);
  std::vector<int> called;
  table.fly(add(table, 1'000, called, 1));
  const RequestId second = add(table, 1'000, called, 2);
  table.fly(second);
  REQUIRE(table.pop_expired(1'000'000));
  call(table.answer(second));
  CHECK(called == std::vector{2});
  CHECK_FALSE(table.pop_expired(1'000'000));
  CHECK(table.next_due_us() == kNever);
}

TEST_CASE("deadlines of any distance pass once, never early, at most two ticks late") {
  std::mt19937_64 random(7);
  RequestTable table(10'000, 0);
  std::multimap<std::int64_t, int> expected;  // deadline → mark
  std::vector<int> called;
  std::int64_t now_us = 0;
  int next_mark = 0;
  std::map<int, std::int64_t> deadline_of;
  for (int step = 0; step < 20'000; ++step) {
    const int shift = static_cast<int>(random() % 26);  // from 1 us to 67 s
    const std::int64_t deadline_us = now_us + static_cast<std::int64_t>(random() % (1ull << shift));
    if (!table.full()) {
      add(table, deadline_us, called, next_mark);
      expected.emplace(deadline_us, next_mark);
      deadline_of[next_mark++] = deadline_us;
    }
    // Mostly small steps, now and then more than a round of the wheel.
    now_us += static_cast<std::int64_t>(random() % (step % 1000 == 0 ? 30'000'000 : 20'000));
    REQUIRE(table.next_due_us() <= expected.begin()->first + kLateUs);
    while (auto ended = table.pop_expired(now_us)) {
      call(ended->callback);
      const int mark = called.back();
      const std::int64_t due = deadline_of.at(mark);
      REQUIRE(due <= now_us);
      const auto [from, to] = expected.equal_range(due);
      const auto found =
          std::find_if(from, to, [&](const auto& one) { return one.second == mark; });
      REQUIRE(found != to);
      expected.erase(found);
    }
    REQUIRE(table.next_due_us() > now_us);
    if (!expected.empty()) REQUIRE(expected.begin()->first + kLateUs > now_us);
  }
  CHECK(called.size() > 10'000);
  CHECK(table.open() == expected.size());
}

}  // namespace tally::net
