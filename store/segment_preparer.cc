#include "store/segment_preparer.h"

#include <algorithm>

#include "store/entry.h"
#include "store/segment.h"

namespace tally::store {
namespace {

constexpr std::uint64_t kZeroStepBytes = 1u << 20;

}  // namespace

SegmentPreparer::SegmentPreparer(FileSystem& files, std::string directory,
                                 std::uint64_t segment_bytes, bool with_thread)
    : files_(files), directory_(std::move(directory)), segment_bytes_(segment_bytes) {
  if (with_thread) thread_ = std::thread([this] { run(); });
}

SegmentPreparer::~SegmentPreparer() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::string SegmentPreparer::path() const {
  return directory_ + "/" + std::string(kNextSegmentName);
}

void SegmentPreparer::advance(std::uint64_t used, std::uint64_t capacity) {
  const std::uint64_t half = capacity / 2;
  if (!thread_.joinable() || used <= half) return;
  // Twice as fast as the log fills the second half, in whole steps.
  const double share = 2.0 * static_cast<double>(used - half) / static_cast<double>(half);
  const auto allowed = static_cast<std::uint64_t>(share * static_cast<double>(segment_bytes_));
  {
    const std::lock_guard lock(mutex_);
    if ((wanted_ || failed_) && allowed < zeroes_allowed_ + kZeroStepBytes) return;
    wanted_ = true;
    failed_ = false;
    zeroes_allowed_ = allowed;
  }
  changed_.notify_all();
}

Result<std::unique_ptr<File>> SegmentPreparer::take(std::uint64_t bytes) {
  std::unique_ptr<File> file;
  {
    std::unique_lock lock(mutex_);
    wanted_ = failed_ = false;
    changed_.wait(lock, [this] { return !working_; });
    file = std::move(file_);
    zeroes_allowed_ = zeroes_written_ = 0;
  }
  if (!file) return create(bytes);
  if (bytes > segment_bytes_) TALLY_TRY_VOID(file->allocate(bytes));
  return file;
}

Result<void> SegmentPreparer::remove_left_over() {
  TALLY_TRY(const bool left_over, files_.exists(path()));
  return left_over ? files_.remove(path()) : Result<void>();
}

Result<std::unique_ptr<File>> SegmentPreparer::create(std::uint64_t bytes) {
  TALLY_TRY_VOID(remove_left_over());
  TALLY_TRY(auto file, files_.open(path(), FileSystem::Mode::kCreate));
  TALLY_TRY_VOID(file->allocate(std::max(bytes, segment_bytes_)));
  return file;
}

void SegmentPreparer::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stop_ || (wanted_ && !file_); });
    if (stop_) return;
    working_ = true;
    lock.unlock();
    auto file = create(segment_bytes_);
    lock.lock();
    working_ = false;
    if (file) {
      file_ = *std::move(file);
    } else {
      wanted_ = false;
      failed_ = true;
    }
    changed_.notify_all();
    fill(lock);
  }
}

void SegmentPreparer::fill(std::unique_lock<std::mutex>& lock) {
  const std::uint64_t end = segment_bytes_ - segment_bytes_ % kPageBytes;
  while (!stop_ && wanted_ && file_ && zeroes_written_ < end) {
    if (zeroes_written_ >= zeroes_allowed_) {
      changed_.wait(lock);
      continue;
    }
    const std::uint64_t step = std::min(end - zeroes_written_, kZeroStepBytes);
    working_ = true;
    lock.unlock();
    const auto written = file_->write_zeroes(zeroes_written_, step);
    lock.lock();
    working_ = false;
    zeroes_written_ = written ? zeroes_written_ + step : end;
    changed_.notify_all();
  }
  changed_.wait(lock, [this] { return stop_ || !wanted_ || !file_; });
}

}  // namespace tally::store
