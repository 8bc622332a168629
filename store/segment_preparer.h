#pragma once
// Makes files for the log before it needs them, in a thread of its own: the next segment, and the
// reserve that is taken when the disk has no room for one.
//
// Operation: once the current segment is half full, the thread creates `kNextSegmentName`,
// allocates it, and writes it with zeroes as fast as the rest of the current segment fills up:
// syncs of written files cost half of those of merely allocated ones. take() hands the file over
// as it is; it waits for at most one piece of zeroes (1 MiB), never for all of them. What the disk
// has no room for is tried again each second, the reserve first.
// Concurrency: space() from any thread, all else by the log's writer. LogOptions::space_changed is
// called under a lock of this object, in the order of the changes. Destruction ends the thread.
// Errors of the thread but DISK_FULL are kept to themselves: take() then makes the file, and says
// what is wrong.

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "store/file_system.h"
#include "store/log.h"
#include "store/segment.h"

namespace tally::store {

class SegmentPreparer {
 public:
  SegmentPreparer(FileSystem& files, const LogOptions& options);
  ~SegmentPreparer();

  /// DISK_FULL when a new log has no room for its first segment and its reserve.
  static Result<void> check_room(FileSystem& files, const LogOptions& options);
  /// The file of a new log's first segment. Makes the reserve, too. Error: neither is left behind.
  Result<Unnamed> take_first();

  /// Once, when the log can be written: removes what an earlier process prepared and did not use,
  /// makes what is missing as far as there is room, starts the thread. The current segment is
  /// filled up to `used` of `capacity`.
  Result<void> start(std::uint64_t used, std::uint64_t capacity);

  /// The current segment is filled up to `used` of `capacity`.
  void advance(std::uint64_t used, std::uint64_t capacity);

  /// A file of at least `bytes`; the reserve when there is no room for another. Errors: DISK_FULL,
  /// IO_ERROR.
  Result<Unnamed> take(std::uint64_t bytes);

  Space space() const;
  /// Tries again to make what there was no room for, as the thread does by itself.
  void retry();

 private:
  using Made = Result<std::unique_ptr<File>>;
  using Lock = std::unique_lock<std::mutex>;

  void run();
  bool has_work() const;
  bool must_try_again() const { return next_failed_ || !has_reserve(); }
  bool has_reserve() const { return reserve_ != nullptr || options_.reserve_bytes == 0; }
  bool has_zeroes_to_write() const;
  Result<void> make_missing(Lock& lock);
  template <typename Work>
  auto outside(Lock& lock, const Work& work);
  void write_zeroes(Lock& lock);
  Result<Unnamed> take_reserve(std::uint64_t bytes);
  void tell_space();

  /// `keep_free`: so much more must be free.
  Made make_next(std::uint64_t bytes, std::uint64_t keep_free) const;
  Made make_reserve(std::uint64_t keep_free) const;
  Result<void> check_room(std::string_view name, std::uint64_t bytes) const;
  Result<void> remove(std::string_view name) const;
  std::string path(std::string_view name) const;

  FileSystem& files_;
  const LogOptions options_;

  mutable std::mutex mutex_{};
  std::condition_variable changed_{};
  bool next_wanted_ = false;  ///< a file is to be made ahead
  bool next_failed_ = false;  ///< it could not be made
  bool no_room_ = false;  ///< the disk was full, and next segment and reserve are not both there
  bool working_ = false;  ///< the thread is outside the lock, with a file
  bool stop_ = false;
  std::uint64_t zeroes_allowed_ = 0;
  std::uint64_t zeroes_written_ = 0;
  std::unique_ptr<File> next_{};
  std::unique_ptr<File> reserve_{};
  Space space_ = Space::kEnough;  ///< as it was told
  std::thread thread_{};
};

}  // namespace tally::store
