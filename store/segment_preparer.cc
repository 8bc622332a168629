#include "store/segment_preparer.h"

#include <algorithm>
#include <chrono>

#include "store/entry.h"

namespace tally::store {
namespace {

constexpr std::uint64_t kZeroStepBytes = 1u << 20;
constexpr std::chrono::seconds kRetryAfter{1};

Error no_room(const std::string& what, std::uint64_t needed, std::uint64_t free) {
  return Error(ErrorCode::kDiskFull, what + " needs " + std::to_string(needed) + " bytes, " +
                                         std::to_string(free) + " are free");
}

}  // namespace

SegmentPreparer::SegmentPreparer(FileSystem& files, const LogOptions& options)
    : files_(files), options_(options) {}

SegmentPreparer::~SegmentPreparer() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

// --- files ---

std::string SegmentPreparer::path(std::string_view name) const {
  return options_.directory + "/" + std::string(name);
}

Result<void> SegmentPreparer::remove(std::string_view name) const {
  TALLY_TRY(const bool left_over, files_.exists(path(name)));
  return left_over ? files_.remove(path(name)) : Result<void>();
}

Result<void> SegmentPreparer::check_room(FileSystem& files, const LogOptions& options) {
  const std::uint64_t needed = options.segment_bytes + options.reserve_bytes;
  TALLY_TRY(const DiskSpace space, files.disk_space(options.directory));
  if (space.free_bytes >= needed) return {};
  return no_room(options.directory + ": a new log", needed, space.free_bytes);
}

/// An allocation that fails half-way would take the last blocks from everybody else for a moment.
Result<void> SegmentPreparer::check_room(std::string_view name, std::uint64_t bytes) const {
  TALLY_TRY(const DiskSpace space, files_.disk_space(options_.directory));
  if (space.free_bytes >= bytes) return {};
  return no_room(path(name), bytes, space.free_bytes);
}

SegmentPreparer::Made SegmentPreparer::make_next(std::uint64_t bytes,
                                                 std::uint64_t keep_free) const {
  TALLY_TRY_VOID(remove(kNextSegmentName));
  TALLY_TRY_VOID(check_room(kNextSegmentName, bytes + keep_free));
  TALLY_TRY(auto file, files_.open(path(kNextSegmentName), FileSystem::Mode::kCreate));
  if (auto allocated = file->allocate(bytes); !allocated) {
    static_cast<void>(remove(kNextSegmentName));
    return std::move(allocated).error();
  }
  return file;
}

SegmentPreparer::Made SegmentPreparer::make_reserve(std::uint64_t keep_free) const {
  const std::uint64_t bytes = options_.reserve_bytes;
  TALLY_TRY(const bool exists, files_.exists(path(kReserveName)));
  TALLY_TRY(auto file, files_.open(path(kReserveName), exists ? FileSystem::Mode::kReadWrite
                                                              : FileSystem::Mode::kCreate));
  const auto fill = [&]() -> Result<void> {
    TALLY_TRY(const std::uint64_t has, file->size());
    if (has < bytes) TALLY_TRY_VOID(check_room(kReserveName, bytes - has + keep_free));
    TALLY_TRY_VOID(file->allocate(bytes));
    TALLY_TRY_VOID(file->sync());
    return files_.sync_directory(options_.directory);
  };
  if (auto filled = fill(); !filled) {
    static_cast<void>(remove(kReserveName));
    return std::move(filled).error();
  }
  return file;
}

// --- the log's side ---

Result<Unnamed> SegmentPreparer::take_first() {
  TALLY_TRY(auto first, make_next(options_.segment_bytes, 0));
  if (options_.reserve_bytes > 0) {
    auto reserve = make_reserve(0);
    if (!reserve) {
      static_cast<void>(remove(kNextSegmentName));
      return std::move(reserve).error();
    }
    reserve_ = *std::move(reserve);
  }
  return Unnamed{std::move(first), kNextSegmentName, options_.segment_bytes};
}

Result<void> SegmentPreparer::start(std::uint64_t used, std::uint64_t capacity) {
  Lock lock(mutex_);
  TALLY_TRY_VOID(remove(kNextSegmentName));
  next_wanted_ = options_.prepare_ahead && used > capacity / 2;
  auto made = make_missing(lock);
  if (!made && made.error().code != ErrorCode::kDiskFull) return made;
  if (options_.prepare_ahead) thread_ = std::thread([this] { run(); });
  return {};
}

void SegmentPreparer::advance(std::uint64_t used, std::uint64_t capacity) {
  const std::uint64_t half = capacity / 2;
  if (!thread_.joinable() || used <= half) return;
  // Twice as fast as the log fills the second half, in whole steps.
  const double share = 2.0 * static_cast<double>(used - half) / static_cast<double>(half);
  const auto allowed =
      static_cast<std::uint64_t>(share * static_cast<double>(options_.segment_bytes));
  {
    const std::lock_guard lock(mutex_);
    if (next_wanted_ && allowed < zeroes_allowed_ + kZeroStepBytes) return;
    next_wanted_ = true;
    zeroes_allowed_ = allowed;
  }
  changed_.notify_all();
}

Result<Unnamed> SegmentPreparer::take(std::uint64_t bytes) {
  Lock lock(mutex_);
  changed_.wait(lock, [this] { return !working_; });
  zeroes_allowed_ = zeroes_written_ = 0;
  next_wanted_ = next_failed_ = no_room_;
  Made next{std::move(next_)};
  if (*next == nullptr && (!no_room_ || reserve_ == nullptr)) {
    next = make_next(std::max(bytes, options_.segment_bytes), 0);
  } else if (*next != nullptr && bytes > options_.segment_bytes) {
    if (auto grown = (*next)->allocate(bytes); !grown) next = std::move(grown).error();
  }
  if (next && *next != nullptr) return Unnamed{*std::move(next), kNextSegmentName, bytes};
  if (!next && (next.error().code != ErrorCode::kDiskFull || reserve_ == nullptr)) {
    return std::move(next).error();
  }
  return take_reserve(bytes);
}

Result<Unnamed> SegmentPreparer::take_reserve(std::uint64_t bytes) {
  if (bytes > options_.reserve_bytes) TALLY_TRY_VOID(reserve_->allocate(bytes));
  next_wanted_ = no_room_ = true;
  Unnamed taken{std::move(reserve_), kReserveName, bytes};
  tell_space();
  changed_.notify_all();
  return taken;
}

Space SegmentPreparer::space() const {
  const std::lock_guard lock(mutex_);
  return space_;
}

void SegmentPreparer::retry() {
  Lock lock(mutex_);
  if (!thread_.joinable()) static_cast<void>(make_missing(lock));
}

// --- making files ---

void SegmentPreparer::tell_space() {
  const Space now = !has_reserve() ? Space::kReserve : no_room_ ? Space::kLow : Space::kEnough;
  if (now == space_) return;
  space_ = now;
  if (options_.space_changed) options_.space_changed(now);
}

template <typename Work>
auto SegmentPreparer::outside(Lock& lock, const Work& work) {
  working_ = true;
  lock.unlock();
  auto result = work();
  lock.lock();
  working_ = false;
  changed_.notify_all();
  return result;
}

Result<void> SegmentPreparer::make_missing(Lock& lock) {
  Result<void> result;
  if (!has_reserve()) {
    Made made = outside(lock, [this] { return make_reserve(options_.keep_free_bytes); });
    if (made) {
      reserve_ = *std::move(made);
    } else {
      if (made.error().code == ErrorCode::kDiskFull) next_wanted_ = no_room_ = true;
      result = std::move(made).error();
    }
  }
  if (has_reserve() && next_wanted_ && !next_) {
    Made made = outside(
        lock, [this] { return make_next(options_.segment_bytes, options_.keep_free_bytes); });
    if (made) {
      next_ = *std::move(made);
    } else {
      next_failed_ = true;
      no_room_ |= made.error().code == ErrorCode::kDiskFull;
      result = std::move(made).error();
    }
  }
  if (has_reserve() && next_) next_failed_ = no_room_ = false;
  tell_space();
  return result;
}

void SegmentPreparer::run() {
  Lock lock(mutex_);
  while (!stop_) {
    static_cast<void>(make_missing(lock));
    if (must_try_again()) {
      changed_.wait_for(lock, kRetryAfter, [this] { return stop_; });
    } else if (has_zeroes_to_write()) {
      write_zeroes(lock);
    } else {
      changed_.wait(lock, [this] { return stop_ || has_work(); });
    }
  }
}

bool SegmentPreparer::has_work() const {
  return !has_reserve() || (next_wanted_ && !next_) || has_zeroes_to_write();
}

bool SegmentPreparer::has_zeroes_to_write() const {
  const std::uint64_t end = options_.segment_bytes - options_.segment_bytes % kPageBytes;
  return next_ && zeroes_written_ < std::min(end, zeroes_allowed_);
}

void SegmentPreparer::write_zeroes(Lock& lock) {
  const std::uint64_t end = options_.segment_bytes - options_.segment_bytes % kPageBytes;
  const std::uint64_t step = std::min(end - zeroes_written_, kZeroStepBytes);
  const auto written = outside(lock, [&] { return next_->write_zeroes(zeroes_written_, step); });
  zeroes_written_ = written ? zeroes_written_ + step : end;
}

}  // namespace tally::store
