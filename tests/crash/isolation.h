#pragma once
// Name spaces of our own, so that mounts and brokers are gone when the test is, however it ends.

#include <functional>
#include <tally/result.hpp>

namespace tally::test {

/// Runs `work` in a child process that sees its own mounts and is the init of its own processes:
/// when it ends, its processes are killed, its mounts vanish, and with them its loop devices. It
/// ends when this process does, and on SIGINT, SIGTERM and SIGHUP. Returns its exit code, 128 and
/// more after a signal. Error: IO_ERROR when this machine does not allow it. Not with other threads.
Result<int> run_isolated(const std::function<int()>& work);

}  // namespace tally::test
