#include "tools/tally/bench/own_broker.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "protocol/base/clock.h"

namespace tally::cli {

Result<OwnBroker> OwnBroker::start(const std::string& parent) {
  std::string folder = parent + "/tally-bench-XXXXXX";
  if (!mkdtemp(folder.data())) {
    return Error(ErrorCode::kIo, "cannot make a folder in " + parent);
  }
  auto broker = start_broker(
      program_folder() + "/tallyd",
      {"--data-dir", folder + "/data", "--listen", "127.0.0.1:0", "--log-level", "warn"});
  if (!broker) {
    std::filesystem::remove_all(folder);
    return broker.error();
  }
  return OwnBroker(std::move(*broker), std::move(folder));
}

OwnBroker::~OwnBroker() {
  if (folder_.empty()) return;  // moved from
  broker_.process.signal(SIGTERM);
  broker_.process.wait();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

Result<std::int64_t> fdatasync_4k_us(const std::string& folder) {
  constexpr std::size_t kBlock = 4096, kCount = 256;
  std::string path = folder + "/calibration";
  int file = open(path.c_str(), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0) return Error(ErrorCode::kIo, "cannot create " + path);
  std::vector<char> zeroes(kBlock * kCount);
  bool good = write(file, zeroes.data(), zeroes.size()) == static_cast<ssize_t>(zeroes.size()) &&
              fdatasync(file) == 0;
  std::vector<std::int64_t> times;
  for (std::size_t i = 0; good && i < kCount; ++i) {
    std::int64_t begin = system_clock().boot_us();
    good = pwrite(file, zeroes.data(), kBlock, static_cast<off_t>(i * kBlock)) ==
               static_cast<ssize_t>(kBlock) &&
           fdatasync(file) == 0;
    times.push_back(system_clock().boot_us() - begin);
  }
  close(file);
  unlink(path.c_str());
  if (!good) return Error(ErrorCode::kIo, "cannot write and sync " + path);
  std::nth_element(times.begin(), times.begin() + kCount / 2, times.end());
  return times[kCount / 2];
}

}  // namespace tally::cli
