#include "tests/states/system_calls.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <optional>

namespace tally::testing {
namespace {

struct Hindrance {
  std::optional<SystemCallFault> fault{};
  std::uint64_t calls = 0;
  std::uint64_t bytes_max = 0;
  std::uint64_t interruptible = 0;
  bool failed = false;
};
Hindrance hindrance;

/// Whether the call fails; errno says how.
bool fails(std::string_view call) {
  if (!hindrance.fault || hindrance.fault->call != call) return false;
  const std::uint64_t number = hindrance.calls++;
  const SystemCallFault& fault = *hindrance.fault;
  if (fault.for_ever ? number < fault.number : number != fault.number) return false;
  hindrance.failed = true;
  errno = fault.error;
  return true;
}

bool is_interrupted() {
  if (hindrance.bytes_max == 0 || hindrance.interruptible++ % 2 != 0) return false;
  errno = EINTR;
  return true;
}

}  // namespace

void inject_system_call(const SystemCallFault& fault) { hindrance = {.fault = fault}; }
void hinder_system_calls(std::uint64_t bytes_max) { hindrance = {.bytes_max = bytes_max}; }
void heal_system_calls() { hindrance.fault.reset(); }
bool system_call_failed() { return hindrance.failed; }

namespace {

using PassOn = long (*)(int descriptor, const iovec* pieces, int count, off_t position);

ssize_t hindered(std::string_view call, PassOn pass_on, int descriptor, const iovec* pieces,
                 int count, off_t position) {
  if (fails(call) || is_interrupted()) return -1;
  if (hindrance.bytes_max == 0) return pass_on(descriptor, pieces, count, position);
  iovec part = pieces[0];
  part.iov_len = std::min<std::size_t>(part.iov_len, hindrance.bytes_max);
  return pass_on(descriptor, &part, 1, position);
}

}  // namespace
}  // namespace tally::testing

extern "C" {

ssize_t pwritev(int descriptor, const iovec* pieces, int count, off_t position) {
  return tally::testing::hindered(
      "pwritev",
      [](int to, const iovec* from, int pieces_count, off_t at) {
        return syscall(SYS_pwritev, to, from, pieces_count, at, 0);
      },
      descriptor, pieces, count, position);
}

ssize_t pread(int descriptor, void* to, size_t size, off_t position) {
  const iovec piece{to, size};
  return tally::testing::hindered(
      "pread",
      [](int from, const iovec* into, int, off_t at) {
        return syscall(SYS_pread64, from, into->iov_base, into->iov_len, at);
      },
      descriptor, &piece, 1, position);
}

// No power is cut here: what a sync would do is left out.
int fdatasync(int /*descriptor*/) { return tally::testing::fails("fdatasync") ? -1 : 0; }
int fsync(int /*descriptor*/) { return tally::testing::fails("fsync") ? -1 : 0; }

int fallocate(int descriptor, int mode, off_t from, off_t size) {
  if (tally::testing::fails("fallocate")) return -1;
  return static_cast<int>(syscall(SYS_fallocate, descriptor, mode, from, size));
}

int rename(const char* from, const char* to) noexcept {
  if (tally::testing::fails("rename")) return -1;
  return static_cast<int>(syscall(SYS_rename, from, to));
}

int unlink(const char* path) noexcept {
  if (tally::testing::fails("unlink")) return -1;
  return static_cast<int>(syscall(SYS_unlink, path));
}

off_t lseek(int descriptor, off_t position, int whence) noexcept {
  if (tally::testing::fails("lseek")) return -1;
  return syscall(SYS_lseek, descriptor, position, whence);
}

}  // extern "C"
