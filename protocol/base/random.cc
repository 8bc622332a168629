#include "protocol/base/random.h"

#include <pthread.h>
#include <sys/random.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "protocol/base/check.h"

namespace tally {
namespace {

// Bytes drawn before a fork must not be handed out by both processes.
std::atomic<unsigned> forks{0};
const int kForkHandler =
    pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });

void fill_from_kernel(char* to, std::size_t size) {
  while (size > 0) {
    ssize_t got = getrandom(to, size, 0);
    if (got < 0) {
      TALLY_CHECK(errno == EINTR);
      continue;
    }
    to += got;
    size -= static_cast<std::size_t>(got);
  }
}

// A system call per transaction id would cost more than the id: each thread draws ahead.
struct Pool {
  std::array<char, 1024> bytes{};
  std::size_t used = sizeof bytes;
  unsigned forks_seen = 0;

  void take(void* to, std::size_t size) {
    unsigned forks_now = forks.load(std::memory_order_relaxed);
    if (size > bytes.size() - used || forks_seen != forks_now) {
      fill_from_kernel(bytes.data(), bytes.size());
      used = 0;
      forks_seen = forks_now;
    }
    std::memcpy(to, bytes.data() + used, size);
    used += size;
  }
};

void random_bytes(void* to, std::size_t size) {
  TALLY_CHECK(kForkHandler == 0);
  thread_local Pool pool;
  pool.take(to, size);
}

}  // namespace

std::uint64_t random_u64() {
  std::uint64_t value = 0;
  random_bytes(&value, sizeof value);
  return value;
}

LogId random_log_id() {
  LogId id;
  random_bytes(id.bytes.data(), id.bytes.size());
  return id;
}

StoreId random_store_id() {
  StoreId id;
  random_bytes(id.bytes.data(), id.bytes.size());
  return id;
}

std::string make_transaction_id(std::int64_t wall_ms) {
  std::array<std::uint8_t, 16> raw;
  for (std::size_t i = 0; i < 6; ++i) {
    raw[i] = static_cast<std::uint8_t>(wall_ms >> (40 - 8 * i));
  }
  random_bytes(raw.data() + 6, raw.size() - 6);
  return LogId{raw}.to_hex();
}

}  // namespace tally
