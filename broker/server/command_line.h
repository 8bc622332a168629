#pragma once
// The command line of tallyd: every configuration key as a flag, over the values of --config.

#include <string>
#include <tally/result.hpp>

#include "broker/server/settings.h"

namespace tally::broker {

struct CommandLine {
  Settings settings{};
  std::string
      print{};  ///< not empty: print this and exit with 0 (--help, --version, --print-config)
};

/// Error: INVALID_ARGUMENT (unknown flags, wrong types and ranges, a bad configuration file).
Result<CommandLine> read_command_line(int argc, const char* const* argv);

}  // namespace tally::broker
