#include "protocol/base/check.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "protocol/base/fail_point.h"

namespace tally {
namespace {

// The signal that ends a process which does `work`, or 0.
template <typename Work>
int signal_of(Work work) {
  pid_t child = fork();
  if (child == 0) {
    close(STDERR_FILENO);
    signal(SIGABRT, SIG_DFL);  // not the test framework's
    work();
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

int signal_at_fail_point(const char* setting, int passes) {
  return signal_of([=] {
    setenv("TALLY_FAIL_POINT", setting, 1);
    for (int i = 0; i < passes; ++i) {
      fail_point("other");
      fail_point("here");
    }
  });
}

}  // namespace

TEST_CASE("a check that does not hold ends the process") {
  CHECK(signal_of([] { TALLY_CHECK(1 + 1 == 3); }) == SIGABRT);
  CHECK(signal_of([] { TALLY_CHECK(1 + 1 == 2); }) == 0);
}

TEST_CASE("a fail-point kills the process at the pass that was asked for") {
  CHECK(signal_at_fail_point("here", 1) == SIGKILL);
  CHECK(signal_at_fail_point("here:3", 3) == SIGKILL);
  CHECK(signal_at_fail_point("here:3", 2) == 0);
  CHECK(signal_at_fail_point("elsewhere", 3) == 0);
}

}  // namespace tally
