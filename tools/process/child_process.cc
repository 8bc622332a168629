#include "tools/process/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <utility>

extern char** environ;

namespace tally {
namespace {

constexpr std::string_view kReady = "tallyd ready on ";

int status_of(int raw) { return WIFSIGNALED(raw) ? -WTERMSIG(raw) : WEXITSTATUS(raw); }

}  // namespace

Result<ChildProcess> ChildProcess::start(const std::string& program,
                                         const std::vector<std::string>& arguments,
                                         const std::string& error_log) {
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) return Error(ErrorCode::kIo, "cannot make a pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  if (!error_log.empty()) {
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, error_log.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
  }
  ChildProcess child;
  int failed = posix_spawn(&child.pid_, program.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  child.output_ = out[0];
  if (failed) {
    child.pid_ = -1;
    return Error(ErrorCode::kIo, "cannot start " + program);
  }
  return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept { *this = std::move(other); }

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(output_, other.output_);
  std::swap(buffered_, other.buffered_);
  std::swap(status_, other.status_);
  return *this;
}

ChildProcess::~ChildProcess() {
  if (pid_ > 0 && !status_) {
    signal(SIGKILL);
    wait();
  }
  if (output_ >= 0) close(output_);
}

void ChildProcess::signal(int number) const { kill(pid_, number); }

void ChildProcess::resume() const {
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(pid_), &info, WSTOPPED) < 0 && errno == EINTR) {
  }
  signal(SIGCONT);
}

std::optional<std::string> ChildProcess::read_line() {
  for (std::size_t searched = 0;;) {
    std::size_t end = buffered_.find('\n', searched);
    if (end != std::string::npos) {
      std::string line = buffered_.substr(0, end);
      buffered_.erase(0, end + 1);
      return line;
    }
    searched = buffered_.size();
    char chunk[4096];
    ssize_t got = read(output_, chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return std::nullopt;
    buffered_.append(chunk, static_cast<std::size_t>(got));
  }
}

bool ChildProcess::speaks_within(int timeout_ms) const {
  pollfd output{output_, POLLIN, 0};
  return poll(&output, 1, timeout_ms) > 0;
}

int ChildProcess::wait() {
  if (!status_) {
    int raw = 0;
    while (waitpid(pid_, &raw, 0) < 0 && errno == EINTR) {
    }
    status_ = status_of(raw);
  }
  return *status_;
}

bool ChildProcess::ended() {
  int raw = 0;
  if (!status_ && waitpid(pid_, &raw, WNOHANG) == pid_) status_ = status_of(raw);
  return status_.has_value();
}

std::string program_folder() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
}

std::optional<std::string> ready_address(ChildProcess& tallyd) {
  const std::optional<std::string> line = tallyd.read_line();
  if (!line || !line->starts_with(kReady)) return std::nullopt;
  return line->substr(kReady.size());
}

Result<RunningBroker> start_broker(const std::string& program,
                                   const std::vector<std::string>& arguments,
                                   const std::string& error_log) {
  TALLY_TRY(ChildProcess process, ChildProcess::start(program, arguments, error_log));
  if (auto address = ready_address(process)) {
    return RunningBroker{std::move(process), *std::move(address)};
  }
  return Error(ErrorCode::kUnreachable, program + " ended before it served, with exit code " +
                                            std::to_string(process.wait()));
}

}  // namespace tally
