#include "tests/crash/isolation.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

namespace tally::test {
namespace {

volatile pid_t worker = 0;

void kill_worker(int) { kill(worker, SIGKILL); }

}  // namespace

Result<int> run_isolated(const std::function<int()>& work) {
  if (unshare(CLONE_NEWNS | CLONE_NEWPID) != 0 ||
      mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return Error(ErrorCode::kIo, std::string("no name spaces: ") + std::strerror(errno));
  }
  worker = fork();
  if (worker < 0) return Error(ErrorCode::kIo, std::string("no process: ") + std::strerror(errno));
  if (worker == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::exit(work());
  }
  for (int number : {SIGINT, SIGTERM, SIGHUP}) signal(number, kill_worker);
  int status = 0;
  while (waitpid(worker, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace tally::test
