// tallyd: the broker as a program.

#include <pthread.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "broker/server/command_line.h"
#include "broker/server/fatal.h"
#include "broker/server/server.h"

namespace {

using tally::Error;
using tally::ErrorCode;

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kDataLocked:
    case ErrorCode::kDataFormat:
    case ErrorCode::kDataDamaged:
    case ErrorCode::kDataUnusable:
      return tally::broker::kExitDataRefused;
    case ErrorCode::kIo:
    case ErrorCode::kDiskFull:
      return tally::broker::kExitDisk;
    default:
      return tally::broker::kExitArguments;
  }
}

int refuse(const Error& error) {
  std::fprintf(stderr, "%s\n", to_string(error).c_str());
  return exit_code(error.code);
}

/// Waited for by one thread; all threads that are started later inherit that nobody else gets them.
sigset_t block_stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return signals;
}

}  // namespace

int main(int argc, char** argv) {
  const sigset_t stop_signals = block_stop_signals();
  auto line = tally::broker::read_command_line(argc, argv);
  if (!line) return refuse(line.error());
  if (!line->print.empty()) {
    std::fputs(line->print.c_str(), stdout);
    return 0;
  }
  spdlog::set_default_logger(spdlog::stderr_logger_mt("tallyd"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
  spdlog::set_level(spdlog::level::from_str(line->settings.log_level));
  spdlog::flush_on(spdlog::level::trace);

  // A signal during the start ends the process at once, as SIGKILL may; later it stops the server in order.
  std::atomic<bool> serves = false;
  std::thread waiter([&] {
    int signal = 0;
    sigwait(&stop_signals, &signal);
    if (!serves) std::_Exit(0);
  });
  auto server = tally::broker::Server::start(line->settings);
  if (!server) {
    const int code = refuse(server.error());
    std::fflush(nullptr);
    std::_Exit(code);  // the waiter still waits
  }
  serves = true;
  std::printf("tallyd ready on %s\n", (*server)->address().c_str());
  std::fflush(stdout);
  waiter.join();
  (*server)->stop();
  return 0;
}
