#pragma once
// A disk of our own that can lose its power: a file system in an image file, on a loop device.
//
// Power is cut by the file system's shutdown request with its journal dropped: what was not synced
// is gone, as after a real cut, except that sectors are not reordered. Needs root. One thread.

#include <string>
#include <tally/result.hpp>

namespace tally::test {

class LoopDisk {
 public:
  /// Makes `folder`/`file_system`.img with an empty file system, ext4 or xfs, and mounts it. Errors
  /// name what this machine lacks.
  static Result<LoopDisk> make(const std::string& file_system, const std::string& folder);
  LoopDisk(LoopDisk&& other) noexcept { std::swap(folder_, other.folder_); }
  ~LoopDisk();  ///< unmounts, even while files are open; the image stays

  const std::string& folder() const { return folder_; }  ///< where it is mounted
  /// Whatever is not on the disk now never gets there; every later access fails. Throws Exception.
  void cut_power() const;
  /// Unmounts and mounts again. No file may be open. Throws Exception.
  void power_on() const;

 private:
  explicit LoopDisk(std::string folder) : folder_(std::move(folder)) {}
  std::string image() const { return folder_ + ".img"; }
  std::string folder_{};
};

}  // namespace tally::test
