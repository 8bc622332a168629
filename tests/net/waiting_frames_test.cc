#include "protocol/net/waiting_frames.h"

#include <catch2/catch.hpp>
#include <set>

namespace tally::net {
namespace {

RequestId push(WaitingFrames& frames, std::uint64_t id, const std::string& bytes) {
  frames.tail() += bytes;
  frames.push(RequestId{id});
  return RequestId{id};
}

std::string take(WaitingFrames& frames, int most, const std::set<std::uint64_t>& dead = {}) {
  std::string out;
  frames.take(
      out, [&] { return most > 0; },
      [&](RequestId id, std::size_t) {
        if (dead.count(id.value) > 0) return false;
        --most;
        return true;
      });
  return out;
}

}  // namespace

TEST_CASE("waiting frames leave in order, as many as may go") {
  WaitingFrames frames;
  push(frames, 1, "one ");
  push(frames, 2, "two ");
  push(frames, 3, "three ");
  CHECK(frames.live_bytes() == 14);
  CHECK(take(frames, 2) == "one two ");
  CHECK(frames.live_bytes() == 6);
  push(frames, 4, "four ");
  CHECK(take(frames, 9) == "three four ");
  CHECK(frames.live_bytes() == 0);
  CHECK(take(frames, 9).empty());
}

TEST_CASE("frames of ended requests are passed over") {
  WaitingFrames frames;
  for (std::uint64_t id = 1; id <= 6; ++id) push(frames, id, std::to_string(id));
  frames.drop(3);
  CHECK(take(frames, 9, {1, 3, 6}) == "245");
  CHECK(frames.live_bytes() == 0);
}

TEST_CASE("what goes to the writer follows what it has already") {
  WaitingFrames frames;
  push(frames, 1, "frame");
  std::string out = "control ";
  frames.take(
      out, [] { return true; }, [](RequestId, std::size_t) { return true; });
  CHECK(out == "control frame");
}

TEST_CASE("a frame that was taken back leaves no trace") {
  WaitingFrames frames;
  push(frames, 1, "one");
  frames.tail() += "not this";
  CHECK(frames.undo() == 8);
  push(frames, 2, "two");
  CHECK(take(frames, 9) == "onetwo");
}

TEST_CASE("memory of ended requests is given back while others wait") {
  WaitingFrames frames;
  const std::string large(100'000, 'x');
  push(frames, 1, "first");
  push(frames, 2, large);
  push(frames, 3, "last");
  frames.drop(large.size());
  frames.compact([](RequestId id) { return id.value != 2; });
  CHECK(frames.tail().size() == 9);
  push(frames, 4, "new");
  CHECK(take(frames, 9) == "firstlastnew");
}

TEST_CASE("a queue that never runs empty does not grow") {
  WaitingFrames frames;
  const std::string frame(1'000, 'x');
  for (std::uint64_t id = 0; id < 100; ++id) push(frames, id, frame);
  for (std::uint64_t id = 100; id < 2'000; ++id) {
    push(frames, id, frame);
    CHECK(take(frames, 1).size() == frame.size());
    REQUIRE(frames.tail().size() <= 2 * 101 * frame.size());
  }
}

}  // namespace tally::net
