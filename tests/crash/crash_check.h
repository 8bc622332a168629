#pragma once
// Asks a restarted broker for everything that the oracle knows, and notes the answers there.

#include <string>

#include "tests/crash/crash_oracle.h"

namespace tally::test {

/// Ends every decided transaction again, both ways; looks at every undecided one; reads the rest of
/// the load's messages with its group, and all messages with a new group. Throws Exception when a
/// request fails that must not.
void check_promises(const std::string& broker, CrashOracle& oracle);

}  // namespace tally::test
