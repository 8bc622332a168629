#pragma once
// Fail-points: named places at which the test build of the broker kills itself. Absent from the product.
//
// TALLY_FAIL_POINT=name or name:k in the environment: SIGKILL at the first (k-th) pass of that name.

#ifdef TALLY_FAIL_POINTS
namespace tally {
void fail_point(const char* name);
}
#define TALLY_FAIL_POINT(name) ::tally::fail_point(name)
#else
#define TALLY_FAIL_POINT(name) static_cast<void>(0)
#endif
