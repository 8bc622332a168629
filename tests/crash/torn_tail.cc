#include "tests/crash/torn_tail.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "store/base.h"
#include "store/index_store.h"
#include "store/recovery.h"
#include "tests/support/temporary_folder.h"

namespace tally::test {
namespace {

constexpr std::uint64_t kSectorBytes = 512;
constexpr std::uint64_t kGarbageBytesMax = 32u << 10;

/// Of a copy: opening an index changes its files. One that is broken says nothing.
Lsn index_position(const std::string& directory) {
  if (!std::filesystem::exists(directory)) return Lsn();
  const testing::TemporaryFolder folder;
  std::filesystem::copy(directory, folder.file("index"));
  const auto index = store::open_leveldb_index(store::real_file_system(), folder.file("index"));
  const auto position = index ? (*index)->position() : index.error();
  return position && *position ? (*position)->next : Lsn();
}

/// Each sector of [begin, end) of the file by dice.
Result<void> scramble(store::File& file, std::uint64_t begin, std::uint64_t end,
                      std::mt19937_64& random) {
  enum Fate { kStays, kZeros, kGarbage, kFates };
  for (std::uint64_t next = 0; begin < end; begin = next) {
    next = std::min(end, (begin / kSectorBytes + 1) * kSectorBytes);
    const auto fate = static_cast<Fate>(random() % kFates);
    if (fate == kStays) continue;
    std::string bytes(next - begin, '\0');
    if (fate == kGarbage) {
      for (char& byte : bytes) byte = static_cast<char>(random());
    }
    const iovec piece{bytes.data(), bytes.size()};
    TALLY_TRY_VOID(file.write(begin, {&piece, 1}));
  }
  return {};
}

}  // namespace

Result<void> tear_tail(const std::string& data_dir,
                       const std::function<bool(const store::EntryView&)>& promised,
                       std::mt19937_64& random) {
  const std::string shard = data_dir + "/0";
  if (!std::filesystem::exists(shard + "/log")) return {};
  TALLY_TRY(const store::Segments segments,
            store::open_segments(store::real_file_system(), shard + "/log", ShardId(0),
                                 store::FileSystem::Mode::kReadWrite));
  if (segments.empty()) return {};
  Lsn durable;
  const store::ExamineOptions options{
      .from_first = true,
      .visit = [&](const store::Segment&, const store::CheckedEntry& entry) -> Result<void> {
        if (promised(entry.view)) durable = entry.view.header.end();
        return {};
      }};
  TALLY_TRY(const store::Examined examined, store::examine_log(segments, options));
  TALLY_TRY(const auto bases,
            store::list_base_positions(store::real_file_system(), shard + "/base"));
  durable = std::max({durable, examined.durable, index_position(shard + "/index"),
                      bases.empty() ? Lsn() : bases.back()});

  const store::Segment& tail = *segments.back();
  const std::uint64_t end = tail.position(examined.end);
  const std::uint64_t garbage_end =
      std::min(std::max(end, examined.garbage_end) + random() % kGarbageBytesMax, tail.file_bytes);
  // Nothing stays of what is torn already: one of its heads may be a witness for what is torn now.
  std::string zeros(garbage_end - end, '\0');
  const iovec piece{zeros.data(), zeros.size()};
  TALLY_TRY_VOID(tail.file->write(end, {&piece, 1}));
  TALLY_TRY_VOID(scramble(*tail.file, tail.position(durable), garbage_end, random));
  return tail.file->sync();
}

}  // namespace tally::test
