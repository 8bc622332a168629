#include "store/base.h"

#include <catch2/catch.hpp>
#include <map>

#include "protocol/base/bytes.h"
#include "store/base_format.h"
#include "store/segment.h"
#include "tests/support/memory_file_system.h"

namespace tally::store {
namespace {

using testing::CrashKeeps;
using testing::MemoryFileSystem;

const std::string kDirectory = "/data/0/base";
constexpr Lsn kOldest{4096};
using Rows = std::map<std::string, std::string>;

ReplayFrom position_at(std::uint64_t lsn, std::uint8_t log = 0x5a) {
  ReplayFrom position{.applied = EntryIndex(7),
                      .next = Lsn(lsn),
                      .entry_checksum = 99,
                      .time_ms = 1'700'000'000'000};
  position.log.bytes.fill(log);
  return position;
}

Rows rows_of(std::size_t count, std::size_t value_bytes = 5) {
  Rows rows;
  for (std::size_t i = 0; i < count; ++i) {
    rows["key " + std::to_string(1'000'000 + i)] = std::string(value_bytes, static_cast<char>(i));
  }
  return rows;
}

Result<BaseInfo> write_base(FileSystem& files, const Rows& rows,
                            const ReplayFrom& position = position_at(8192)) {
  TALLY_TRY(BaseWriter writer, BaseWriter::begin(files, kDirectory, ShardId(3), position));
  for (const auto& [key, value] : rows) TALLY_TRY_VOID(writer.add(key, value));
  return writer.finish(kOldest);
}

Result<Rows> rows_in(FileSystem& files, Lsn position = Lsn(8192)) {
  Rows rows;
  TALLY_TRY_VOID(
      read_base(files, kDirectory, position, [&](std::string_view key, std::string_view value) {
        rows.emplace(key, value);
        return true;
      }));
  return rows;
}

std::string path_of(std::uint64_t lsn) { return kDirectory + "/" + lsn_name(Lsn(lsn), ".base"); }
bool left_over(MemoryFileSystem& files) { return files.exists(kDirectory + "/next.base").value(); }

ErrorCode code_of(FileSystem& files) {
  const auto read = rows_in(files);
  return read ? ErrorCode::kOk : read.error().code;
}

TEST_CASE("a base reads back as it was written") {
  MemoryFileSystem files;
  const std::size_t count = GENERATE(0u, 1u, 2u, 3'000u);
  const Rows rows = rows_of(count, 100);
  const BaseInfo written = write_base(files, rows).value();
  CHECK(rows_in(files).value() == rows);
  const auto listed = list_bases(files, kDirectory).value();
  REQUIRE(listed.size() == 1);
  for (const BaseInfo& info : {written, listed[0]}) {
    CHECK(info.shard == ShardId(3));
    CHECK(info.position == position_at(8192));
    CHECK(info.oldest_needed == kOldest);
  }
  CHECK_FALSE(left_over(files));
}

TEST_CASE("a base is on disk when it is finished") {
  MemoryFileSystem files;
  files.make_directories(kDirectory).value();
  const Rows rows = rows_of(2'000, 3'000);
  REQUIRE(write_base(files, rows));
  const auto disk = files.after_crash({});
  CHECK(rows_in(*disk).value() == rows);
}

TEST_CASE("reading a base ends when the visitor has seen enough") {
  MemoryFileSystem files;
  REQUIRE(write_base(files, rows_of(3'000, 100)));
  std::size_t seen = 0;
  REQUIRE(read_base(files, kDirectory, Lsn(8192),
                    [&](std::string_view, std::string_view) { return ++seen < 10; }));
  CHECK(seen == 10);
}

TEST_CASE("every flipped byte of a base is found") {
  MemoryFileSystem files;
  REQUIRE(write_base(files, rows_of(20)));
  const std::string whole = files.content(path_of(8192));
  REQUIRE(whole.size() < 8192);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
    files.set_content(path_of(8192), flipped);
    const bool in_version = at >= 8 && at < 12;
    CAPTURE(at);
    CHECK(code_of(files) == (in_version ? ErrorCode::kDataFormat : ErrorCode::kDataDamaged));
  }
}

TEST_CASE("a base that is cut short at any length, or longer, is damaged") {
  MemoryFileSystem files;
  REQUIRE(write_base(files, rows_of(20)));
  const std::string whole = files.content(path_of(8192));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    files.set_content(path_of(8192), whole.substr(0, size));
    CAPTURE(size);
    CHECK(code_of(files) == ErrorCode::kDataDamaged);
    CHECK(list_bases(files, kDirectory).error().code == ErrorCode::kDataDamaged);
  }
  files.set_content(path_of(8192), whole + '\0');
  CHECK(code_of(files) == ErrorCode::kDataDamaged);
  files.set_content(path_of(8192), whole + whole.substr(whole.size() - kBaseTrailerBytes));
  CHECK(code_of(files) == ErrorCode::kDataDamaged);
}

TEST_CASE("blocks in another order, missing, doubled or of another base are found") {
  MemoryFileSystem files;
  // Rows of 1 KiB: every full block has the same length.
  REQUIRE(write_base(files, rows_of(300, 1'024), position_at(16384)));
  const std::string other = files.content(path_of(16384));
  REQUIRE(write_base(files, rows_of(300, 1'024)));
  const std::string whole = files.content(path_of(8192));
  // The true length of a block stands in its head.
  const std::size_t size = kBaseBlockHeadBytes + load_le<std::uint32_t>(whole.data() + 4100);
  const auto at = [&](std::size_t number) { return 4096 + number * size; };
  std::string changed = whole;
  SECTION("swapped") {
    changed = whole.substr(0, at(1)) + whole.substr(at(2), size) + whole.substr(at(1), size) +
              whole.substr(at(3));
  }
  SECTION("missing") { changed = whole.substr(0, at(1)) + whole.substr(at(2)); }
  SECTION("doubled") { changed = whole.substr(0, at(2)) + whole.substr(at(1)); }
  SECTION("of another base") { changed.replace(at(1), size, other.substr(at(1), size)); }
  SECTION("the other base's end") {
    changed.replace(whole.size() - 48, 48, other.substr(whole.size() - 48));
  }
  SECTION("the other base's name") { changed = other; }
  REQUIRE(code_of(files) == ErrorCode::kOk);
  files.set_content(path_of(8192), changed);
  CHECK(code_of(files) == ErrorCode::kDataDamaged);
}

TEST_CASE("bases are listed in ascending order, and foreign files are refused") {
  MemoryFileSystem files;
  CHECK(list_bases(files, kDirectory).value().empty());
  for (const std::uint64_t lsn : {16384u, 8192u, 1u << 30}) {
    REQUIRE(write_base(files, rows_of(3), position_at(lsn)));
  }
  files.set_content(kDirectory + "/next.base", "of an earlier process");
  const auto bases = list_bases(files, kDirectory).value();
  REQUIRE(bases.size() == 3);
  CHECK(bases[0].position.next == Lsn(8192));
  CHECK(bases[2].position.next == Lsn(1 << 30));
  REQUIRE(remove_base(files, kDirectory, Lsn(16384)));
  CHECK(list_base_positions(files, kDirectory).value() == std::vector{Lsn(8192), Lsn(1 << 30)});
  CHECK(files.after_crash({})->content(path_of(16384)).empty());
  files.set_content(kDirectory + "/8192.base", "");
  const auto refused = list_bases(files, kDirectory);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kDataFormat);
  CHECK_THAT(refused.error().message, Catch::Matchers::Contains("8192.base"));
}

TEST_CASE("a base that was not finished leaves nothing") {
  MemoryFileSystem files;
  {
    auto writer = BaseWriter::begin(files, kDirectory, ShardId(3), position_at(8192)).value();
    REQUIRE(writer.add("a", "b"));
    CHECK(left_over(files));
    SECTION("given up") {}
    SECTION("sealed and given up") { REQUIRE(writer.seal(kOldest)); }
  }
  CHECK_FALSE(left_over(files));
  CHECK(list_bases(files, kDirectory).value().empty());
}

TEST_CASE("an error at any step of writing a base is told, and a full disk leaves nothing") {
  MemoryFileSystem whole;
  const Rows rows = rows_of(200, 1'000);
  whole.make_directories(kDirectory).value();
  REQUIRE(write_base(whole, rows));
  const ErrorCode code = GENERATE(ErrorCode::kIo, ErrorCode::kDiskFull);
  REQUIRE(whole.operations() > 6);
  for (std::uint64_t number = 0; number < whole.operations(); ++number) {
    MemoryFileSystem files;
    files.make_directories(kDirectory).value();
    files.inject({.number = number, .code = code});
    const auto failed = write_base(files, rows);
    CAPTURE(number);
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code == code);
    CHECK_FALSE(left_over(files));
    CHECK(list_bases(files, kDirectory).value().empty());
    CHECK(write_base(files, rows));
    CHECK(rows_in(files).value() == rows);
  }
}

TEST_CASE("a disk that does not have what it synced has failed") {
  MemoryFileSystem files;
  auto writer = BaseWriter::begin(files, kDirectory, ShardId(3), position_at(8192)).value();
  REQUIRE(writer.add("a", "b"));
  REQUIRE(writer.seal(kOldest));
  char wrong = 'c';
  const iovec piece{&wrong, 1};
  const auto mode = FileSystem::Mode::kReadWrite;
  files.open(kDirectory + "/next.base", mode).value()->write(4128, {&piece, 1}).value();
  const auto read = writer.read_back();
  REQUIRE_FALSE(read);
  CHECK(read.error().code == ErrorCode::kIo);
}

TEST_CASE("a power cut at any step of writing a base leaves it whole or not at all") {
  MemoryFileSystem whole;
  const Rows rows = rows_of(200, 1'000);
  whole.make_directories(kDirectory).value();
  REQUIRE(write_base(whole, rows));
  std::uint64_t states = 0;
  for (std::uint64_t stop = 0; stop <= whole.operations(); ++stop) {
    for (std::uint64_t seed = 0; seed < 24; ++seed) {
      MemoryFileSystem files;
      files.make_directories(kDirectory).value();
      files.inject({.number = stop, .for_ever = true});
      const bool finished = write_base(files, rows).has_value();
      const auto part = seed == 0   ? CrashKeeps::Part::kNothing
                        : seed == 1 ? CrashKeeps::Part::kEverything
                                    : CrashKeeps::Part::kRandom;
      const auto disk = files.after_crash({part, seed});
      CAPTURE(stop, seed);
      const auto bases = list_bases(*disk, kDirectory).value();
      if (finished) CHECK(bases.size() == 1);
      if (!bases.empty()) CHECK(rows_in(*disk).value() == rows);
      ++states;
    }
  }
  std::printf("power cuts while a base is written: %llu states, 0 violations\n",
              static_cast<unsigned long long>(states));
}

}  // namespace
}  // namespace tally::store
