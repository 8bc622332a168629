// A full disk: what the log still takes, what it tells, and how it comes back.

#include "store/space.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <mutex>

#include "tests/store/log_fixture.h"

namespace tally::store {
namespace {

using testing::CrashKeeps;
using testing::LogFixture;
using testing::MemoryFileSystem;

constexpr std::uint64_t kSegment = 64u << 10;
constexpr std::uint64_t kReserve = 2 * kSegment;
constexpr std::size_t kMessage = 5'000;

/// A log with a reserve, on a disk that can be filled.
struct SpaceFixture : LogFixture {
  std::vector<Space> told{};
  std::uint64_t acknowledged = 0;

  SpaceFixture() {
    options.segment_bytes = kSegment;
    options.reserve_bytes = kReserve;
    options.space_changed = [this](Space space) { told.push_back(space); };
  }
  bool has(std::string_view name) const {
    return files->exists(options.directory + "/" + std::string(name)).value();
  }
  /// Nothing more fits, but `bytes`.
  void fill_disk(std::uint64_t bytes = 0) {
    const auto space = files->disk_space(options.directory);
    files->set_capacity(space->total_bytes - space->free_bytes + bytes);
  }
  Result<void> write_message() {
    auto written = write({std::string(kMessage, 'x')});
    if (written) ++acknowledged;
    return written;
  }
  /// Fills the current segment and begins the next one.
  void write_until_roll() {
    const std::uint64_t rolls = log->counters().rolls;
    while (log->counters().rolls == rolls) REQUIRE(write_message());
  }
  void check_all_there() {
    REQUIRE(open());
    CHECK(seen.size() == acknowledged);
  }
};

TEST_CASE("a new log has its reserve before its first entry") {
  SpaceFixture fixture;
  REQUIRE(fixture.open());
  CHECK(fixture.has(kReserveName));
  CHECK(fixture.files->content("/data/0/log/reserve.segment").size() == kReserve);
  CHECK(fixture.log->space() == Space::kEnough);
  CHECK(fixture.told.empty());
}

TEST_CASE("a new log without room for its reserve is not made") {
  SpaceFixture fixture;
  REQUIRE(fixture.files->make_directories(fixture.options.directory));
  fixture.files->set_capacity(kSegment + kReserve - 1);
  const auto checked = Log::check(*fixture.files, fixture.options);
  REQUIRE_FALSE(checked);
  CHECK(checked.error().code == ErrorCode::kDiskFull);
  CHECK(checked.error().message == "/data/0/log: a new log needs 196608 bytes, 196607 are free");
  const auto refused = fixture.open();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kDiskFull);
  CHECK(fixture.files->list(fixture.options.directory)->empty());
  fixture.files->set_capacity(kSegment + kReserve);
  REQUIRE(Log::check(*fixture.files, fixture.options));
  REQUIRE(fixture.open());
}

TEST_CASE("a roll on a full disk takes the reserve, and space brings everything back") {
  SpaceFixture fixture;
  REQUIRE(fixture.open());
  fixture.fill_disk();
  fixture.write_until_roll();
  CHECK(fixture.log->space() == Space::kReserve);
  CHECK_FALSE(fixture.has(kReserveName));
  fixture.log->retry_space();
  CHECK(fixture.log->space() == Space::kReserve);
  CHECK_FALSE(fixture.has(kReserveName));

  SECTION("for the reserve alone: messages are still refused") {
    fixture.fill_disk(kReserve);
    fixture.log->retry_space();
    CHECK(fixture.log->space() == Space::kLow);
    CHECK(fixture.has(kReserveName));
    CHECK_FALSE(fixture.has(kNextSegmentName));
    fixture.fill_disk(kSegment);
    fixture.log->retry_space();
    CHECK(fixture.told == std::vector{Space::kReserve, Space::kLow, Space::kEnough});
  }
  SECTION("for both at once") {
    fixture.fill_disk(kReserve + kSegment);
    fixture.log->retry_space();
    CHECK(fixture.told == std::vector{Space::kReserve, Space::kEnough});
  }
  CHECK(fixture.log->space() == Space::kEnough);
  CHECK(fixture.has(kNextSegmentName));
  fixture.fill_disk();
  fixture.write_until_roll();  // into the segment that was made when space came back
  CHECK(fixture.log->space() == Space::kEnough);
  fixture.check_all_there();
}

TEST_CASE("what is made ahead leaves some room to others") {
  SpaceFixture fixture;
  fixture.options.keep_free_bytes = 1'000;
  REQUIRE(fixture.open());
  fixture.fill_disk();
  fixture.write_until_roll();
  fixture.fill_disk(kReserve + kSegment + 999);
  fixture.log->retry_space();
  CHECK(fixture.log->space() == Space::kLow);
  CHECK(fixture.files->disk_space(fixture.options.directory)->free_bytes == kSegment + 999);
  fixture.fill_disk(kSegment + 1'000);
  fixture.log->retry_space();
  CHECK(fixture.log->space() == Space::kEnough);
  CHECK(fixture.files->disk_space(fixture.options.directory)->free_bytes == 1'000);
  fixture.check_all_there();
}

TEST_CASE("without segment and reserve a roll on a full disk is an error, and nothing is lost") {
  SpaceFixture fixture;
  REQUIRE(fixture.open());
  fixture.fill_disk();
  fixture.write_until_roll();
  Result<void> written;
  while (written) written = fixture.write_message();
  CHECK(written.error().code == ErrorCode::kDiskFull);
  CHECK(fixture.log->end().value >= kSegment + kReserve - 4 * (kMessage + 200));
  fixture.check_all_there();
}

TEST_CASE("the roll takes a segment of its own when space came back in time") {
  SpaceFixture fixture;
  REQUIRE(fixture.open());
  fixture.fill_disk();
  fixture.write_until_roll();
  fixture.fill_disk(kSegment);
  fixture.write_until_roll();
  CHECK(fixture.log->space() == Space::kReserve);
  fixture.check_all_there();
}

TEST_CASE("an entry that is longer than the reserve is an error only on a full disk") {
  SpaceFixture fixture;
  REQUIRE(fixture.open());
  const std::uint64_t room = GENERATE(std::uint64_t{0}, 4 * kSegment);
  fixture.fill_disk(room);
  const auto written = fixture.write({std::string(3 * kSegment, 'L')});
  if (room == 0) {
    REQUIRE_FALSE(written);
    CHECK(written.error().code == ErrorCode::kDiskFull);
  } else {
    REQUIRE(written);
    ++fixture.acknowledged;
  }
  fixture.check_all_there();
}

TEST_CASE("after a restart the state is what the files say") {
  SpaceFixture fixture;
  REQUIRE(fixture.open());
  SECTION("a reserve: enough, until the roll finds otherwise") {
    fixture.fill_disk();
    fixture.options.keep_free_bytes = 1'000;
    REQUIRE(fixture.open());
    CHECK(fixture.log->space() == Space::kEnough);
    fixture.write_until_roll();
    CHECK(fixture.told == std::vector{Space::kReserve});
  }
  SECTION("no reserve, no room") {
    fixture.fill_disk();
    fixture.write_until_roll();
    fixture.told.clear();
    REQUIRE(fixture.open());
    CHECK(fixture.told == std::vector{Space::kReserve});
    CHECK(fixture.log->space() == Space::kReserve);
    REQUIRE(fixture.write_message());
    fixture.fill_disk(kReserve + kSegment);
    fixture.log->retry_space();
    CHECK(fixture.log->space() == Space::kEnough);
  }
  SECTION("no reserve, but room") {
    fixture.fill_disk();
    fixture.write_until_roll();
    fixture.fill_disk(kReserve);
    fixture.told.clear();
    REQUIRE(fixture.open());
    CHECK(fixture.told.empty());
    CHECK(fixture.has(kReserveName));
  }
  SECTION("a segment that an earlier process prepared makes room for the reserve") {
    fixture.log.reset();
    REQUIRE(fixture.files->remove("/data/0/log/reserve.segment"));
    fixture.files->set_content("/data/0/log/next.segment", std::string(kReserve, '\0'));
    fixture.fill_disk();
    REQUIRE(fixture.open());
    CHECK(fixture.has(kReserveName));
    CHECK_FALSE(fixture.has(kNextSegmentName));
    CHECK(fixture.log->space() == Space::kEnough);
  }
  SECTION("a reserve that was not finished is finished") {
    fixture.log.reset();
    fixture.files->set_content("/data/0/log/reserve.segment", std::string(kSegment, '\0'));
    REQUIRE(fixture.open());
    CHECK(fixture.files->content("/data/0/log/reserve.segment").size() == kReserve);
  }
  SECTION("or given up when it cannot be") {
    fixture.log.reset();
    fixture.files->set_content("/data/0/log/reserve.segment", std::string(kSegment, '\0'));
    fixture.fill_disk();
    REQUIRE(fixture.open());
    CHECK(fixture.log->space() == Space::kReserve);
    CHECK_FALSE(fixture.has(kReserveName));
  }
  fixture.check_all_there();
}

TEST_CASE("a log without a reserve is low when its next segment cannot be made") {
  SpaceFixture fixture;
  fixture.options.reserve_bytes = 0;
  REQUIRE(fixture.open());
  CHECK_FALSE(fixture.has(kReserveName));
  fixture.fill_disk();
  Result<void> written;
  while (written) written = fixture.write_message();
  CHECK(written.error().code == ErrorCode::kDiskFull);
  fixture.check_all_there();
}

/// Waits for a space that another thread tells.
class SpaceWaiter {
 public:
  void tell(Space space) {
    const std::lock_guard lock(mutex_);
    now_ = space;
    changed_.notify_all();
  }
  bool wait_for(Space space) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return now_ == space; });
  }

 private:
  std::mutex mutex_{};
  std::condition_variable changed_{};
  Space now_ = Space::kEnough;
};

TEST_CASE("with its thread the log is low at half a segment and comes back by itself") {
  SpaceFixture fixture;
  SpaceWaiter waiter;
  fixture.options.prepare_ahead = true;
  fixture.options.space_changed = [&](Space space) { waiter.tell(space); };
  REQUIRE(fixture.open());
  fixture.fill_disk();
  while (fixture.log->end().value <= kSegment / 2) REQUIRE(fixture.write_message());
  REQUIRE(waiter.wait_for(Space::kLow));
  CHECK(fixture.log->counters().rolls == 0);
  CHECK(fixture.has(kReserveName));
  SECTION("before the roll") {
    fixture.fill_disk(kSegment);
    REQUIRE(waiter.wait_for(Space::kEnough));
    fixture.write_until_roll();
    CHECK(fixture.log->space() == Space::kEnough);
  }
  SECTION("after the roll, the reserve first") {
    fixture.write_until_roll();
    CHECK(fixture.log->space() == Space::kReserve);
    fixture.fill_disk(kReserve);
    REQUIRE(waiter.wait_for(Space::kLow));
    fixture.fill_disk(kSegment);
    REQUIRE(waiter.wait_for(Space::kEnough));
    fixture.fill_disk();
    fixture.write_until_roll();
    CHECK(fixture.log->space() == Space::kEnough);
  }
  SECTION("after a restart, which finds the disk still full") {
    REQUIRE(fixture.open());
    CHECK(fixture.log->space() == Space::kLow);
    fixture.fill_disk(kSegment);
    REQUIRE(waiter.wait_for(Space::kEnough));
  }
  fixture.check_all_there();
}

TEST_CASE("a segment gives up some room when the directory needs it for the name") {
  SpaceFixture fixture;
  fixture.options.segment_bytes = 4 * kSegment;
  REQUIRE(fixture.open());
  while (fixture.log->counters().rolls == 0) {
    // Of a roll: create, allocate, write and sync the header, rename.
    fixture.files->inject({fixture.files->operations() + 4, ErrorCode::kDiskFull});
    REQUIRE(fixture.write_message());
  }
  const auto names = fixture.files->list(fixture.options.directory);
  CHECK(fixture.files->content(fixture.options.directory + "/" + names->at(1)).size() ==
        3 * kSegment);
  fixture.check_all_there();
}

TEST_CASE("a segment's own room cannot be missing: then the disk has failed") {
  SpaceFixture fixture;
  REQUIRE(fixture.open());
  const std::uint64_t offset = GENERATE(0u, 1u);  // the write, the sync
  fixture.files->inject({fixture.files->operations() + offset, ErrorCode::kDiskFull});
  const auto written = fixture.write_message();
  REQUIRE_FALSE(written);
  CHECK(written.error().code == ErrorCode::kIo);
  fixture.check_all_there();
}

TEST_CASE("a disk that is full at any operation costs nothing that was acknowledged") {
  const auto run = [](SpaceFixture& fixture) {
    if (!fixture.open()) return;
    for (int i = 0; i < 40; ++i) {
      if (!fixture.write_message()) return;
      fixture.log->retry_space();
    }
  };
  SpaceFixture whole;
  run(whole);
  REQUIRE(whole.acknowledged == 40);
  const bool for_ever = GENERATE(false, true);
  const bool power_cut = GENERATE(false, true);
  for (std::uint64_t number = 0; number < whole.files->operations(); ++number) {
    SpaceFixture fixture;
    fixture.files->inject({number, ErrorCode::kDiskFull, for_ever});
    run(fixture);
    CAPTURE(number, for_ever, power_cut, fixture.acknowledged);
    if (for_ever || power_cut) fixture.crash({CrashKeeps::Part::kNothing});
    REQUIRE(fixture.open());
    CHECK(fixture.seen.size() >= fixture.acknowledged);
    CHECK(fixture.seen.size() <= 40);
    CHECK(fixture.log->space() == Space::kEnough);
    REQUIRE(fixture.write_message());
  }
}

}  // namespace
}  // namespace tally::store
