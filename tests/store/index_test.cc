#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "store/index_store.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/temporary_folder.h"

namespace tally::store {
namespace {

using testing::TemporaryFolder;

ReplayFrom position_at(std::uint64_t index) {
  ReplayFrom position{
      .applied = EntryIndex(index), .next = Lsn(index * 100), .entry_checksum = 7, .log = {}};
  position.log.bytes.fill(4);
  return position;
}

IndexBatch batch_of(std::uint64_t index, std::vector<IndexBatch::Operation> operations) {
  return IndexBatch{.operations = std::move(operations), .position = position_at(index)};
}

std::vector<std::string> keys(const IndexStore& index, std::string_view from, std::string_view to) {
  std::vector<std::string> found;
  REQUIRE(index.scan(from, to, [&](std::string_view key, std::string_view) {
    found.emplace_back(key);
    return true;
  }));
  return found;
}

void check_as_ordered_map(IndexStore& index) {
  CHECK_FALSE(*index.position());
  REQUIRE(index.write(batch_of(1, {{"b", "1"}, {"a", "1"}, {"c", "1"}, {"a", "2"}})));
  CHECK(*index.get("a") == "2");
  CHECK_FALSE(*index.get("d"));
  REQUIRE(index.write(batch_of(2, {{"b", std::nullopt}, {std::string("\0x", 2), ""}})));
  CHECK_FALSE(*index.get("b"));
  CHECK(keys(index, "a", "c") == std::vector<std::string>{"a"});
  CHECK(keys(index, "", "z") == std::vector<std::string>{std::string("\0x", 2), "a", "c"});
  std::size_t visited = 0;
  REQUIRE(index.scan("a", "z", [&](std::string_view, std::string_view) {
    ++visited;
    return false;
  }));
  CHECK(visited == 1);
  const auto position = *index.position();
  REQUIRE(position);
  CHECK(position->applied == EntryIndex(2));
  CHECK(position->next == Lsn(200));
  CHECK(position->entry_checksum == 7);
  CHECK(position->log == position_at(2).log);
}

TEST_CASE("the ordered map keeps keys in order and the position of the newest batch") {
  check_as_ordered_map(*make_memory_index());
}

TEST_CASE("LevelDB keeps keys in order and the position of the newest batch") {
  const TemporaryFolder folder;
  const std::string directory = folder.file("0/index");
  {
    const auto index = open_leveldb_index(real_file_system(), directory);
    REQUIRE(index);
    check_as_ordered_map(**index);
  }
  const auto again = open_leveldb_index(real_file_system(), directory);
  REQUIRE(again);
  CHECK((*again)->position()->value().applied == EntryIndex(2));
  CHECK(*(*again)->get("a") == "2");
}

constexpr std::uint64_t kNever = UINT64_MAX;

TEST_CASE("an index on a full disk answers reads, and goes on when there is room") {
  testing::MemoryFileSystem files;
  const auto opened = open_leveldb_index(files, "/index");
  REQUIRE(opened);
  IndexStore& index = **opened;
  REQUIRE(index.write(batch_of(1, {{"a", "1"}})));
  files.inject({files.operations(), ErrorCode::kDiskFull, true});
  files.set_capacity(0);
  for (int i = 0; i < 3; ++i) {
    const auto refused = index.write(batch_of(2, {{"a", "2"}}));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kDiskFull);
    CHECK(*index.get("a") == "1");
  }
  files.inject({kNever});
  files.set_capacity(kNever);
  REQUIRE(index.write(batch_of(2, {{"a", "2"}})));
  CHECK(*index.get("a") == "2");
  CHECK(index.position()->value().applied == EntryIndex(2));
}

TEST_CASE("while it is read an index is not opened anew") {
  testing::MemoryFileSystem files;
  const auto opened = open_leveldb_index(files, "/index");
  REQUIRE(opened);
  IndexStore& index = **opened;
  REQUIRE(index.write(batch_of(1, {{"a", "1"}})));
  auto snapshot = index.snapshot();
  files.inject({files.operations(), ErrorCode::kDiskFull});
  CHECK(index.write(batch_of(2, {{"a", "2"}})).error().code == ErrorCode::kDiskFull);
  CHECK(index.write(batch_of(2, {{"a", "2"}})).error().code == ErrorCode::kDiskFull);
  CHECK(*(*snapshot)->get("a") == "1");
  snapshot->reset();
  REQUIRE(index.write(batch_of(2, {{"a", "2"}})));
}

TEST_CASE("an index that found no room when it was opened anew is opened by a later read") {
  testing::MemoryFileSystem files;
  const auto opened = open_leveldb_index(files, "/index");
  REQUIRE(opened);
  IndexStore& index = **opened;
  REQUIRE(index.write(batch_of(1, {{"a", "1"}})));
  files.inject({files.operations(), ErrorCode::kDiskFull, true});
  CHECK_FALSE(index.write(batch_of(2, {{"a", "2"}})));
  CHECK(index.write(batch_of(2, {{"a", "2"}})).error().code == ErrorCode::kDiskFull);
  CHECK(index.get("a").error().code == ErrorCode::kDiskFull);
  files.inject({kNever});
  CHECK(*index.get("a") == "1");
  REQUIRE(index.write(batch_of(2, {{"a", "2"}})));
}

TEST_CASE("an index in use is locked, not damaged") {
  const TemporaryFolder folder;
  const auto first = open_leveldb_index(real_file_system(), folder.file("index"));
  REQUIRE(first);
  const auto second = open_leveldb_index(real_file_system(), folder.file("index"));
  REQUIRE_FALSE(second);
  CHECK(second.error().code == ErrorCode::kDataLocked);
}

TEST_CASE("a damaged index is told, and can be removed and made anew") {
  const TemporaryFolder folder;
  const std::string directory = folder.file("index");
  REQUIRE((*open_leveldb_index(real_file_system(), directory))
              ->write(batch_of(1, {{"a", std::string(5'000, 'x')}})));
  for (const auto& item : std::filesystem::directory_iterator(directory)) {
    if (item.path().filename().string().starts_with("MANIFEST")) {
      std::filesystem::resize_file(item.path(), 10);
    }
  }
  const auto damaged = open_leveldb_index(real_file_system(), directory);
  REQUIRE_FALSE(damaged);
  CHECK(damaged.error().code == ErrorCode::kDataDamaged);
  REQUIRE(destroy_leveldb_index(real_file_system(), directory));
  const auto fresh = open_leveldb_index(real_file_system(), directory);
  REQUIRE(fresh);
  CHECK_FALSE(*(*fresh)->position());
}

TEST_CASE("a flipped byte in LevelDB's log is found when it is opened") {
  const TemporaryFolder folder;
  const std::string directory = folder.file("index");
  REQUIRE((*open_leveldb_index(real_file_system(), directory))
              ->write(batch_of(1, {{"a", std::string(5'000, 'x')}})));
  for (const auto& item : std::filesystem::directory_iterator(directory)) {
    if (item.path().extension() != ".log") continue;
    std::fstream file(item.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(1'000);
    file.put('y');
  }
  const auto damaged = open_leveldb_index(real_file_system(), directory);
  REQUIRE_FALSE(damaged);
  CHECK(damaged.error().code == ErrorCode::kDataDamaged);
}

TEST_CASE("a batch that is erased from the middle of LevelDB's log is missed") {
  // Each batch fills one block of LevelDB's log; it passes over a block of zeroes.
  constexpr std::size_t kBlockBytes = 32u << 10;
  constexpr std::size_t kValueBytes = kBlockBytes - 7 - 12 - 72 - 6;
  testing::MemoryFileSystem files;
  {
    const auto index = open_leveldb_index(files, "/index");
    REQUIRE(index);
    for (std::uint64_t i = 1; i <= 3; ++i) {
      REQUIRE((*index)->write(batch_of(i, {{std::to_string(i), std::string(kValueBytes, 'x')}})));
    }
  }
  const std::string path = "/index/000003.log";
  REQUIRE(files.content(path).size() == 3 * kBlockBytes);

  const std::uint64_t erased = GENERATE(0u, 1u, 2u);
  files.damage(path, erased * kBlockBytes, std::string(kBlockBytes, '\0'));
  const auto opened = open_leveldb_index(files, "/index");
  if (erased == 2) {  // the newest checkpoint is gone, and the one before is whole
    REQUIRE(opened);
    CHECK((**(*opened)->position()).applied == EntryIndex(2));
    CHECK(keys(**opened, "0", "9") == std::vector<std::string>{"1", "2"});
  } else {
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == ErrorCode::kDataDamaged);
    CHECK(opened.error().message.find("000003.log") != std::string::npos);
  }
}

/// Positions behind the records of a short log or manifest of LevelDB.
std::vector<std::uint64_t> record_ends(const std::string& content) {
  std::vector<std::uint64_t> ends;
  for (std::uint64_t at = 0; at + 7 <= content.size(); ends.push_back(at)) {
    at += 7 + static_cast<std::uint8_t>(content[at + 4]) +
          256u * static_cast<std::uint8_t>(content[at + 5]);
  }
  return ends;
}

TEST_CASE("a manifest of LevelDB that was cut short does not pass for an older one") {
  constexpr std::uint64_t kBatches = 14;  // over twice LevelDB's buffer: one table is written
  testing::MemoryFileSystem files;
  {
    const auto index = open_leveldb_index(files, "/index");
    REQUIRE(index);
    for (std::uint64_t i = 1; i <= kBatches; ++i) {
      REQUIRE((*index)->write(
          batch_of(i, {{std::string(1, static_cast<char>('a' + i)), std::string(1u << 20, 'x')}})));
    }
  }
  std::string current = files.content("/index/CURRENT");
  current.pop_back();
  const std::string path = "/index/" + current;
  const std::vector<std::uint64_t> ends = record_ends(files.content(path));
  REQUIRE(ends.size() > 2);
  for (const std::uint64_t end : ends) {
    const auto image = files.after_crash({testing::CrashKeeps::Part::kEverything, 0});
    image->cut(path, end);
    const auto opened = open_leveldb_index(*image, "/index");
    CAPTURE(end, ends.size());
    if (end == ends.back()) {
      REQUIRE(opened);
      CHECK(keys(**opened, "a", "z").size() == kBatches);
    } else {
      REQUIRE_FALSE(opened);
      CHECK(opened.error().code == ErrorCode::kDataDamaged);
    }
  }
}

}  // namespace
}  // namespace tally::store
