#pragma once
// Fail-points: named places at which the test build of the broker kills itself. Absent from the
// product: there the macro is empty, and the linker leaves out a function nobody calls.
//
// TALLY_FAIL_POINT=name or name:k in the environment: SIGKILL at the first (k-th) pass of that
// name; with @FILE behind it only passes count while that file exists.

namespace tally {
void fail_point(const char* name);
}

#ifdef TALLY_FAIL_POINTS
#define TALLY_FAIL_POINT(name) ::tally::fail_point(name)
#else
#define TALLY_FAIL_POINT(name) static_cast<void>(0)
#endif
