#pragma once
// A program started by a tool or a test: its standard output is read here, its end is waited for, it never outlives its owner.

#include <sys/types.h>

#include <optional>
#include <string>
#include <tally/result.hpp>
#include <vector>

namespace tally {

class ChildProcess {
 public:
  /// Starts `program` with `arguments`. Standard input is empty; standard error goes to the file `error_log`, or to ours.
  /// Error: IO_ERROR.
  static Result<ChildProcess> start(const std::string& program,
                                    const std::vector<std::string>& arguments,
                                    const std::string& error_log = {});
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();  ///< SIGKILL and wait, when it still runs

  pid_t pid() const { return pid_; }
  void signal(int number) const;
  /// Waits until it has stopped itself (SIGSTOP), then lets it go on.
  void resume() const;
  /// The next line of its standard output without the line end; nothing at the end of the output.
  std::optional<std::string> read_line();
  /// Waits until there is output that read_line() has not taken, or its end; false after timeout_ms.
  bool speaks_within(int timeout_ms) const;
  /// Waits for the end: the exit code, or minus the number of the signal that killed it.
  int wait();
  /// True when it ended by itself; then wait() returns at once.
  bool ended();

 private:
  ChildProcess() = default;
  pid_t pid_ = -1;
  int output_ = -1;
  std::string buffered_{};
  std::optional<int> status_{};
};

/// The folder of the running program, where its siblings stand.
std::string program_folder();

/// Waits for the ready line of a tallyd: where it serves; nothing when it ended before.
std::optional<std::string> ready_address(ChildProcess& tallyd);

/// A tallyd that serves.
struct RunningBroker {
  ChildProcess process;
  std::string address;
};
/// Starts `program` (a tallyd) and waits for its ready line. Error: UNREACHABLE when it ended before.
Result<RunningBroker> start_broker(const std::string& program,
                                   const std::vector<std::string>& arguments,
                                   const std::string& error_log = {});

}  // namespace tally
