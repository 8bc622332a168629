#include "broker/server/fatal.h"

#include <spdlog/spdlog.h>

#include <cstdlib>

namespace tally::broker {

void die_of_disk(std::string_view what, const Error& error) {
  spdlog::critical("{}: {}", what, to_string(error));
  spdlog::default_logger()->flush();
  std::_Exit(kExitDisk);
}

}  // namespace tally::broker
