#include "tests/crash/torn_tail.h"

#include <catch2/catch.hpp>
#include <fstream>

#include "store/log.h"
#include "tests/crash/fail_points.h"
#include "tests/support/temporary_folder.h"

namespace tally::test {
namespace {

using testing::TemporaryFolder;

/// Opens the log of `data`, adds entries until there are so many, and returns how many there were.
std::uint64_t open_and_fill(const std::string& data, std::uint64_t entries) {
  store::LogOptions options{
      .directory = data + "/0/log", .segment_bytes = 1u << 20, .prepare_ahead = false};
  auto opened = store::Log::open(store::real_file_system(), options, {}, [](const auto&) {
                  return Result<void>();
                }).value();
  const std::uint64_t found = opened.log->last_index().value;
  for (std::uint64_t index = found + 1; index <= entries; ++index) {
    store::Entry entry;
    entry.begin(EntryIndex(index), Term(1), opened.log->end());
    for (int i = 0; i < 100; ++i) entry.add(store::RecordType::kMark, 0, TopicUid(), {});
    entry.seal(1);
    store::Entry* const batch[] = {&entry};
    opened.log->write(batch).value();
  }
  return found;
}

TEST_CASE("tearing the tail leaves what was promised, and not always the rest") {
  bool torn = false;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    const TemporaryFolder folder;
    open_and_fill(folder.path(), 3);
    std::mt19937_64 random(seed);
    const auto promised = [](const store::EntryView& entry) {
      return entry.header.index.value <= 2;
    };
    REQUIRE(tear_tail(folder.path(), promised, random));
    const std::uint64_t left = open_and_fill(folder.path(), 0);
    CHECK(left >= 2);
    torn |= left == 2;
  }
  CHECK(torn);
}

TEST_CASE("a fail-point is found wherever it stands in the source") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.file("deeper"));
  std::ofstream(folder.file("deeper/a.cc")) << R"(f(); TALLY_FAIL_POINT("b.c");)";
  std::ofstream(folder.file("b.cc")) << R"(TALLY_FAIL_POINT("a.b"); TALLY_FAIL_POINT("b.c"))";
  std::ofstream(folder.file("b.h")) << R"(TALLY_FAIL_POINT("no.source"))";
  CHECK(fail_points_in(folder.path()) == std::vector<std::string>{"a.b", "b.c"});
  CHECK(broker_fail_points().size() >= 18);
}

}  // namespace
}  // namespace tally::test
