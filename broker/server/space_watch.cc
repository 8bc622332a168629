#include "broker/server/space_watch.h"

#include <spdlog/spdlog.h>

#include "protocol/base/clock.h"

namespace tally::broker {
namespace {

std::uint64_t low_since_last_change(const Counters& counters) {
  const std::uint64_t since = read(counters.space_low_since_ms);
  return since == 0 ? 0 : static_cast<std::uint64_t>(system_clock().boot_ms()) - since;
}

}  // namespace

void SpaceWatch::changed(store::Space space) {
  const std::uint64_t low_ms = low_since_last_change(counters_);
  if (space == store::Space::kEnough) {
    counters_.space_low_since_ms = 0;
    add(counters_.space_low_ms, low_ms);
  } else if (read(counters_.space_low_since_ms) == 0) {
    counters_.space_low_since_ms = static_cast<std::uint64_t>(system_clock().boot_ms());
  }
  counters_.space = static_cast<std::uint64_t>(space);
  core_.put([&](CoreMail& mail) { mail.space = space; });
  tell(space, low_ms);
}

void SpaceWatch::tell(store::Space space, std::uint64_t low_ms) const {
  const auto disk = files_.disk_space(log_directory_);
  const std::uint64_t free = disk ? disk->free_bytes : 0;
  switch (space) {
    case store::Space::kEnough:
      spdlog::info("disk space is back after {:.1f} s: sends are taken again",
                   static_cast<double>(low_ms) / 1'000);
      break;
    case store::Space::kLow:
      spdlog::warn("disk space is low, {} bytes are free: sends are refused", free);
      break;
    case store::Space::kReserve:
      spdlog::warn(
          "the disk is full, {} bytes are free: the log uses its reserve, "
          "only transactions are ended",
          free);
      break;
  }
}

std::uint64_t space_low_ms(const Counters& counters) {
  return read(counters.space_low_ms) + low_since_last_change(counters);
}

}  // namespace tally::broker
