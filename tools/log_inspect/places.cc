#include "tools/log_inspect/places.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <system_error>

#include "store/segment.h"

namespace tally::tools {
namespace {

store::FileSystem& files() { return store::real_file_system(); }

std::optional<ShardId> parse_shard(const std::string& name) {
  ShardId shard;
  const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), shard.value);
  if (failure != std::errc() || std::to_string(shard.value) != name) return std::nullopt;
  return shard;
}

/// Every segment says whose it is.
Result<ShardId> shard_of(const std::string& path) {
  TALLY_TRY(const auto file, files().open(path, store::FileSystem::Mode::kRead));
  std::string raw(store::kSegmentHeaderBytes, '\0');
  TALLY_TRY(const std::size_t got, file->read(0, raw.data(), raw.size()));
  if (got < raw.size()) {
    return Error(ErrorCode::kDataDamaged, path + ": shorter than a segment's header");
  }
  TALLY_TRY(const auto header, store::SegmentHeader::decode(raw, path));
  return header.shard;
}

Result<ShardPlace> place_in(const std::string& directory, ShardId shard) {
  const std::string root = directory + "/" + std::to_string(shard.value);
  ShardPlace place{
      .lock = directory + "/lock", .shard = shard, .log = root + "/log", .base = root + "/base"};
  TALLY_TRY(place.index_condemned, files().exists(root + "/index.condemned"));
  TALLY_TRY(const bool has_index, files().exists(root + "/index/CURRENT"));
  if (has_index) place.index = root + "/index";
  return place;
}

}  // namespace

Result<std::vector<ShardPlace>> find_shards(const std::string& directory) {
  TALLY_TRY(const bool exists, files().exists(directory));
  if (!exists)
    return Error(ErrorCode::kInvalidArgument, directory + ": there is no such directory");
  TALLY_TRY(const std::vector<std::string> names, files().list(directory));
  std::vector<ShardPlace> places;
  for (const std::string& name : names) {
    if (store::parse_segment_name(name)) {
      ShardPlace place{.log = directory};
      TALLY_TRY(place.shard, shard_of(directory + "/" + name));
      TALLY_TRY(const bool has_bases, files().exists(directory + "/../base"));
      if (has_bases) place.base = directory + "/../base";
      return std::vector{std::move(place)};
    }
    const auto shard = parse_shard(name);
    if (!shard) continue;
    TALLY_TRY(const bool has_log, files().exists(directory + "/" + name + "/log"));
    if (!has_log) continue;
    TALLY_TRY(places.emplace_back(), place_in(directory, *shard));
  }
  if (places.empty()) {
    return Error(ErrorCode::kInvalidArgument, directory + ": no log found there");
  }
  std::sort(places.begin(), places.end(),
            [](const ShardPlace& a, const ShardPlace& b) { return a.shard < b.shard; });
  return places;
}

Result<BrokerLock> BrokerLock::take(const ShardPlace& place) {
  const int descriptor = ::open(place.lock.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0 && errno == ENOENT) return BrokerLock(-1);
  if (descriptor < 0) {
    return Error(ErrorCode::kDataUnusable,
                 "open " + place.lock + ": " + std::generic_category().message(errno));
  }
  BrokerLock lock(descriptor);
  if (::flock(descriptor, LOCK_SH | LOCK_NB) == 0) return lock;
  return Error(ErrorCode::kDataLocked, place.lock + " is locked by another process");
}

BrokerLock::~BrokerLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace tally::tools
