#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "store/file_system.h"
#include "store/log.h"
#include "tests/store/log_fixture.h"
#include "tests/support/temporary_folder.h"

namespace tally::store {
namespace {

using testing::TemporaryFolder;

TEST_CASE("more pieces than one system call takes are written whole") {
  const TemporaryFolder folder;
  const auto file = real_file_system().open(folder.file("f"), FileSystem::Mode::kCreate);
  REQUIRE(file);
  std::string letters = "abcdefghijklmnopqrstuvwxyz";
  std::vector<iovec> pieces;
  std::string expected;
  for (std::size_t i = 0; i < 3'000; ++i) {
    pieces.push_back({letters.data() + i % 26, 1 + i % 3 % (26 - i % 26)});
    expected.append(letters, i % 26, pieces.back().iov_len);
  }
  REQUIRE((*file)->write(10, pieces));
  REQUIRE((*file)->sync());
  std::string read(expected.size() + 100, '?');
  const auto got = (*file)->read(10, read.data(), read.size());
  REQUIRE(got);
  CHECK(read.substr(0, *got) == expected);
  const auto cached = (*file)->read_cached(10, read.data(), expected.size());
  REQUIRE(cached);
  REQUIRE(*cached);
  CHECK(read.substr(0, **cached) == expected);
}

TEST_CASE("files are made once, grow with zeroes, and are listed in order") {
  const TemporaryFolder folder;
  FileSystem& files = real_file_system();
  const std::string directory = folder.file("a/b");
  REQUIRE(files.make_directories(directory));
  REQUIRE(files.make_directories(directory + "/"));
  const auto file = files.open(directory + "/2", FileSystem::Mode::kCreate);
  REQUIRE(file);
  CHECK_FALSE(files.open(directory + "/2", FileSystem::Mode::kCreate));
  REQUIRE((*file)->allocate(3u << 20));
  CHECK((*file)->size().value() == 3u << 20);
  CHECK((*file)->data_end().value() <= 3u << 20);
  char byte = 'x';
  const iovec piece{&byte, 1};
  REQUIRE((*file)->write(1u << 20, {&piece, 1}));
  CHECK((*file)->data_end().value() > 1u << 20);
  byte = 0;
  REQUIRE((*file)->write(1u << 20, {&piece, 1}));
  REQUIRE((*file)->write_zeroes(4096, 2u << 20));
  std::string read(3u << 20, '?');
  CHECK((*file)->read(0, read.data(), read.size()).value() == read.size());
  CHECK(read == std::string(3u << 20, '\0'));
  REQUIRE((*file)->drop_cache());
  REQUIRE(files.rename(directory + "/2", directory + "/1"));
  REQUIRE(files.open(directory + "/3", FileSystem::Mode::kCreate));
  REQUIRE(files.sync_directory(directory));
  CHECK(files.list(directory).value() == std::vector<std::string>{"1", "3"});
  REQUIRE(files.remove(directory + "/3"));
  CHECK_FALSE(files.exists(directory + "/3").value());
}

TEST_CASE("what fails says which file and why") {
  FileSystem& files = real_file_system();
  const auto missing = files.open("/nowhere/at/all", FileSystem::Mode::kRead);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ErrorCode::kIo);
  CHECK(missing.error().message == "open /nowhere/at/all: No such file or directory");
  const TemporaryFolder folder;
  const auto file = files.open(folder.file("old"), FileSystem::Mode::kCreate);
  REQUIRE(files.rename(folder.file("old"), folder.file("new")));
  const auto refused = (*file)->allocate(1ull << 62);
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().message, Catch::Matchers::Contains(folder.file("new")));
}

TEST_CASE("allocated bytes are taken from the disk's room at once") {
  FileSystem& files = real_file_system();
  const TemporaryFolder folder;
  const auto before = files.disk_space(folder.path());
  REQUIRE(before);
  CHECK(before->free_bytes <= before->total_bytes);
  const auto file = files.open(folder.file("f"), FileSystem::Mode::kCreate);
  REQUIRE((*file)->allocate(8u << 20));
  struct stat status {};
  REQUIRE(::stat(folder.file("f").c_str(), &status) == 0);
  CHECK(status.st_blocks * 512 >= 8 << 20);
  const auto nowhere = files.disk_space("/nowhere/at/all");
  REQUIRE_FALSE(nowhere);
  CHECK(nowhere.error().code == ErrorCode::kIo);
}

TEST_CASE("a path that is no directory is unusable, not a disk failure") {
  const TemporaryFolder folder;
  FileSystem& files = real_file_system();
  REQUIRE(files.open(folder.file("file"), FileSystem::Mode::kCreate));
  CHECK(files.make_directories(folder.file("file/0")).error().code == ErrorCode::kDataUnusable);
  CHECK(files.list(folder.file("file")).error().code == ErrorCode::kDataUnusable);
  CHECK(files.lock(folder.file("file/lock")).error().code == ErrorCode::kDataUnusable);
}

TEST_CASE("a directory says what keeps its files") {
  FileSystem& files = real_file_system();
  const TemporaryFolder folder;
  CHECK(files.describe(folder.path()).value().writable);
  CHECK_FALSE(files.describe(folder.file("missing")));
}

TEST_CASE("a lock excludes until it is let go") {
  const TemporaryFolder folder;
  auto first = real_file_system().lock(folder.file("lock"));
  REQUIRE(first);
  const auto second = real_file_system().lock(folder.file("lock"));
  REQUIRE_FALSE(second);
  CHECK(second.error().code == ErrorCode::kDataLocked);
  first->reset();
  CHECK(real_file_system().lock(folder.file("lock")));
}

TEST_CASE("the log rolls sixty segments of 1 MiB on a real disk") {
  const TemporaryFolder folder;
  LogOptions options;
  options.directory = folder.file("0/log");
  options.segment_bytes = 1u << 20;
  options.new_log_id.bytes.fill(1);
  std::uint64_t replayed = 0;
  const auto visit = [&](const EntryView&) {
    ++replayed;
    return Result<void>();
  };
  auto opened = Log::open(real_file_system(), options, {}, visit);
  REQUIRE(opened);
  std::uint64_t written = 0;
  while (opened->log->counters().rolls < 60) {
    const auto entry = testing::make_entry(EntryIndex(++written), opened->log->end(),
                                           {std::string(130'000, 'x'), std::string(130'000, 'y')});
    Entry* const entries[] = {&entry->entry};
    REQUIRE(opened->log->write(entries));
  }
  const Lsn end = opened->log->end();
  opened->log.reset();
  opened = Log::open(real_file_system(), options, {}, visit);
  REQUIRE(opened);
  CHECK(replayed == written);
  CHECK(opened->log->end() == end);
}

}  // namespace
}  // namespace tally::store
