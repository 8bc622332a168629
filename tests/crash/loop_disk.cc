#include "tests/crash/loop_disk.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tools/process/child_process.h"

namespace tally::test {
namespace {

constexpr std::uintmax_t kImageBytes = 512u << 20;  // sparse; the least for XFS is 300 MiB
constexpr unsigned long kShutdown = 0x8004587D;     // EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN
constexpr std::uint32_t kDropJournal = 2;           // …_GOING_FLAGS_NOLOGFLUSH of both

Error failed(const std::string& action) {
  return Error(ErrorCode::kIo, "cannot " + action + ": " + std::strerror(errno));
}

Result<void> run(std::vector<std::string> command) {
  const std::string name = command.front();
  TALLY_TRY(ChildProcess process, ChildProcess::start("/usr/bin/env", command));
  const int code = process.wait();
  if (code == 0) return {};
  return Error(ErrorCode::kIo, name + " ended with exit code " + std::to_string(code));
}

/// mount(8) attaches the loop device in the way that it goes with the mount.
Result<void> mount_image(const std::string& image, const std::string& folder) {
  return run({"mount", "-o", "loop", image, folder});
}

}  // namespace

Result<LoopDisk> LoopDisk::make(const std::string& file_system, const std::string& folder) {
  LoopDisk disk(folder + "/" + file_system);
  std::filesystem::create_directory(disk.folder_);
  std::ofstream(disk.image()).close();
  std::filesystem::resize_file(disk.image(), kImageBytes);
  TALLY_TRY_VOID(run({"mkfs." + file_system, "-q", disk.image()}));
  TALLY_TRY_VOID(mount_image(disk.image(), disk.folder_));
  return disk;
}

LoopDisk::~LoopDisk() {
  if (!folder_.empty()) umount2(folder_.c_str(), MNT_DETACH);
}

void LoopDisk::cut_power() const {
  const int directory = open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int result = ioctl(directory, kShutdown, &kDropJournal);
  const Error error = failed("cut the power of " + folder_);
  close(directory);
  if (result != 0) throw Exception(error);
}

void LoopDisk::power_on() const {
  if (umount(folder_.c_str()) != 0) throw Exception(failed("unmount " + folder_));
  mount_image(image(), folder_).value();
}

}  // namespace tally::test
