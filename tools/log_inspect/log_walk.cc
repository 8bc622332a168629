#include "tools/log_inspect/log_walk.h"

namespace tally::tools {
namespace {

constexpr int kLooksMax = 5;

}  // namespace

Result<LogWalk> LogWalk::open(const ShardPlace& place, Lsn from) {
  LogWalk walk(place, from);
  TALLY_TRY_VOID(walk.open_segments());
  return walk;
}

/// A listed segment may be gone when it is opened: then the listing has changed.
Result<void> LogWalk::open_segments() {
  store::FileSystem& files = store::real_file_system();
  for (int look = 1;; ++look) {
    TALLY_TRY(const auto before, files.list(place_.log));
    auto opened =
        store::open_segments(files, place_.log, place_.shard, store::FileSystem::Mode::kRead);
    if (opened) {
      segments_ = *std::move(opened);
      break;
    }
    TALLY_TRY(const auto after, files.list(place_.log));
    if (before == after || look == kLooksMax) return std::move(opened).error();
  }
  if (segments_.empty()) {
    return Error(ErrorCode::kInvalidArgument, place_.log + ": no segments of a log");
  }
  while (segments_.size() > 1 && segments_[1]->base() <= from_) segments_.erase(segments_.begin());
  return {};
}

std::uint64_t LogWalk::bytes() const {
  const store::Segment& tail = *segments_.back();
  const auto used = tail.file->data_end();
  return tail.base().value - segments_.front()->base().value + (used ? *used : tail.file_bytes);
}

Result<store::Examined> LogWalk::run(const Visit& visit) {
  Lsn visited;
  const store::ExamineOptions options{
      .all_blocks = true,
      .from_first = true,
      .visit = [&](const store::Segment& segment,
                   const store::CheckedEntry& entry) -> Result<void> {
        const store::EntryHeader& header = entry.view.header;
        if (header.lsn < visited) return {};
        visited = header.end();
        return visit(segment, entry);
      }};
  Error before;
  for (int look = 1;; ++look) {
    auto examined = store::examine_log(segments_, options);
    if (examined || examined.error().code != ErrorCode::kDataDamaged) return examined;
    if (look == kLooksMax || examined.error() == before) return examined;
    before = examined.error();
    TALLY_TRY_VOID(open_segments());
  }
}

}  // namespace tally::tools
