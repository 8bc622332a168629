// Power cuts: the machine stops at every operation of a small workload, with nothing, everything
// or any part of what was not synced on the disk. What was acknowledged is there; nothing else is
// invented; a second cut during recovery changes nothing.

#include <catch2/catch.hpp>
#include <cstdio>

#include "tests/store/log_fixture.h"

namespace tally::store {
namespace {

using testing::CrashKeeps;
using testing::Fault;
using testing::LogFixture;

constexpr std::uint64_t kSeeds = 24;

/// Writes until something fails; gives the number of acknowledged entries.
std::uint64_t run_workload(LogFixture& fixture) {
  if (!fixture.open()) return 0;
  std::uint64_t acknowledged = 0;
  for (int i = 0; i < 4; ++i) {
    if (!fixture.write({"a" + std::to_string(i), std::string(700, 'b')})) return acknowledged;
    ++acknowledged;
  }
  // Two entries in one sync, the second of which rolls.
  const auto first = fixture.next_entry({std::string(9'000, 'c')});
  const auto second = testing::make_entry(EntryIndex(first->entry.header().index.value + 1),
                                          first->entry.header().end(), {std::string(12'000, 'd')});
  Entry* const entries[] = {&first->entry, &second->entry};
  if (!fixture.log->write(entries)) return acknowledged;
  acknowledged += 2;
  return fixture.write({"last"}) ? acknowledged + 1 : acknowledged;
}

LogFixture make_fixture() {
  LogFixture fixture;
  fixture.options.segment_bytes = 20u << 10;
  return fixture;
}

std::vector<CrashKeeps> all_crashes() {
  std::vector<CrashKeeps> crashes = {{CrashKeeps::Part::kNothing, 0},
                                     {CrashKeeps::Part::kEverything, 0}};
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    crashes.push_back({CrashKeeps::Part::kRandom, seed});
  }
  return crashes;
}

/// The log opens, holds at least what was acknowledged, and goes on.
void check_survives(LogFixture& fixture, std::uint64_t acknowledged, std::uint64_t written) {
  const auto opened = fixture.open();
  INFO((opened ? std::string() : opened.error().message));
  REQUIRE(opened);
  CHECK(fixture.seen.size() >= acknowledged);
  CHECK(fixture.seen.size() <= written);
  const std::size_t entries = fixture.seen.size();
  REQUIRE(fixture.write({"after the crash"}));
  fixture.crash({});
  REQUIRE(fixture.open());
  CHECK(fixture.seen.size() == entries + 1);
}

TEST_CASE("every acknowledged entry survives a power cut at every operation") {
  LogFixture whole = make_fixture();
  const std::uint64_t written = run_workload(whole);
  REQUIRE(written == 7);
  const std::uint64_t operations = whole.files->operations();
  std::uint64_t states = 0;
  for (std::uint64_t stop = 0; stop <= operations; ++stop) {
    for (const CrashKeeps& keeps : all_crashes()) {
      LogFixture fixture = make_fixture();
      fixture.files->inject({.number = stop, .for_ever = true});
      const std::uint64_t acknowledged = run_workload(fixture);
      fixture.crash(keeps);
      CAPTURE(stop, keeps.seed, acknowledged);
      check_survives(fixture, acknowledged, written);
      ++states;
    }
  }
  std::printf("power cuts: %llu states, 0 violations\n", static_cast<unsigned long long>(states));
}

TEST_CASE("a power cut during recovery loses nothing either") {
  std::uint64_t states = 0;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    for (std::uint64_t stop = 0; stop < 12; ++stop) {
      LogFixture fixture = make_fixture();
      fixture.files->inject({.number = 10 + seed, .for_ever = true});
      const std::uint64_t acknowledged = run_workload(fixture);
      fixture.crash({CrashKeeps::Part::kRandom, seed});
      fixture.files->inject({.number = stop, .for_ever = true});
      static_cast<void>(fixture.open());
      fixture.crash({CrashKeeps::Part::kRandom, seed * 31 + stop});
      CAPTURE(stop, seed, acknowledged);
      check_survives(fixture, acknowledged, 7);
      ++states;
    }
  }
  std::printf("power cuts during recovery: %llu states, 0 violations\n",
              static_cast<unsigned long long>(states));
}

TEST_CASE("an operation that fails once loses nothing that was acknowledged") {
  LogFixture whole = make_fixture();
  run_workload(whole);
  const ErrorCode code = GENERATE(ErrorCode::kIo, ErrorCode::kDiskFull);
  const bool power_cut = GENERATE(false, true);
  for (std::uint64_t number = 0; number < whole.files->operations(); ++number) {
    LogFixture fixture = make_fixture();
    fixture.files->inject({.number = number, .code = code});
    const std::uint64_t acknowledged = run_workload(fixture);
    CHECK(acknowledged < 7);
    CAPTURE(number, acknowledged, power_cut);
    if (power_cut) fixture.crash({});
    check_survives(fixture, acknowledged, 7);
  }
}

}  // namespace
}  // namespace tally::store
