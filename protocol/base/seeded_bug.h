#pragma once
// Seeded bugs: named mistakes that other brokers shipped, built into the test build to prove that
// the suites catch them. Absent from the product: there the macro is false.
//
// Switched on by TALLY_SEEDED_BUG=name in the environment, or by seed_bug() within a test program;
// one at a time. Where it stands in the code: if (TALLY_SEEDED_BUG("retried_sync")) { mistake }

#include <string>

namespace tally {
bool seeded_bug(const char* name);
/// The one that is switched on; empty: none.
const std::string& seeded_bug();
/// Empty: none. Not to be called while another thread asks.
void seed_bug(std::string name);
}  // namespace tally

#ifdef TALLY_FAIL_POINTS
#define TALLY_SEEDED_BUG(name) ::tally::seeded_bug(name)
#else
#define TALLY_SEEDED_BUG(name) false
#endif
