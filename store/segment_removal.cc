#include "store/segment_removal.h"

#include <algorithm>
#include <atomic>

#include "protocol/base/fail_point.h"

namespace tally::store {
namespace {

constexpr std::uint64_t kShrinkBytes = 16u << 20;

}  // namespace

SegmentRemoval::SegmentRemoval(FileSystem& files, std::string directory,
                               std::shared_ptr<SegmentReader> reader)
    : files_(files), directory_(std::move(directory)), reader_(std::move(reader)) {}

Result<SegmentRemoval::Next> SegmentRemoval::step(Lsn keep_from) {
  switch (stage_) {
    case Stage::kNone:
      return rename_first(keep_from);
    case Stage::kRenamed:
      // Before the next one is renamed: a power cut must not keep this name and lose that one.
      TALLY_TRY_VOID(files_.sync_directory(directory_));
      segment_ = reader_->remove_first();
      stage_ = Stage::kOut;
      return Next::kStep;
    case Stage::kOut:
      return open_gone();
    case Stage::kShrinking:
      return shrink();
  }
  return Next::kDone;
}

Result<SegmentRemoval::Next> SegmentRemoval::rename_first(Lsn keep_from) {
  const auto segments = reader_->segments();
  if (segments->size() < 2 || (*segments)[1]->base() > keep_from) return Next::kDone;
  path_ = segments->front()->path + std::string(kGoneSuffix);
  auto renamed = files_.rename(segments->front()->path, path_);
  if (!renamed && renamed.error().code == ErrorCode::kDiskFull) {
    // No block for a longer name in the directory: room is worth more than an even pace.
    renamed = files_.remove(segments->front()->path);
    path_.clear();
  }
  TALLY_TRY_VOID(std::move(renamed));
  TALLY_FAIL_POINT("trim.after_rename");
  stage_ = Stage::kRenamed;
  return Next::kStep;
}

Result<SegmentRemoval::Next> SegmentRemoval::open_gone() {
  // Nobody else can get hold of it any more.
  if (segment_.use_count() > 1) return Next::kWait;
  std::atomic_thread_fence(std::memory_order_acquire);
  file_bytes_ = segment_->file_bytes;
  bytes_removed_ += file_bytes_;
  segment_.reset();
  stage_ = Stage::kNone;
  if (path_.empty()) return Next::kStep;
  TALLY_TRY(file_, files_.open(path_, FileSystem::Mode::kReadWrite));
  stage_ = Stage::kShrinking;
  return Next::kStep;
}

Result<SegmentRemoval::Next> SegmentRemoval::shrink() {
  if (file_bytes_ > kShrinkBytes) {
    TALLY_TRY_VOID(file_->truncate(file_bytes_ - kShrinkBytes));
    file_bytes_ -= kShrinkBytes;
    return Next::kStep;
  }
  TALLY_FAIL_POINT("trim.before_unlink");
  file_.reset();
  TALLY_TRY_VOID(files_.remove(path_));
  stage_ = Stage::kNone;
  return Next::kStep;
}

Result<void> remove_gone_segments(FileSystem& files, const std::string& directory) {
  TALLY_TRY(const std::vector<std::string> names, files.list(directory));
  for (const std::string& name : names) {
    if (!name.ends_with(kGoneSuffix)) continue;
    TALLY_TRY_VOID(files.remove(directory + "/" + name));
  }
  return {};
}

}  // namespace tally::store
