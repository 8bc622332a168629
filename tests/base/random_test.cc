#include "protocol/base/random.h"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <set>
#include <thread>
#include <vector>

#include "protocol/base/clock.h"

namespace tally {

TEST_CASE("transaction ids begin with their time and do not repeat over threads") {
  constexpr std::size_t kThreads = 4;
  constexpr std::size_t kIdsPerThread = 5'000;
  std::vector<std::vector<std::string>> made(kThreads);
  std::vector<std::thread> threads;
  for (std::vector<std::string>& ids : made) {
    threads.emplace_back([&ids] {
      for (std::size_t i = 0; i < kIdsPerThread; ++i) {
        ids.push_back(make_transaction_id(0x0123'4567'89AB));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::string> all;
  for (const std::vector<std::string>& ids : made) all.insert(ids.begin(), ids.end());
  CHECK(all.size() == kThreads * kIdsPerThread);
  for (const std::string& id : all) {
    REQUIRE(id.size() == 32);
    REQUIRE(id.starts_with("0123456789ab"));
  }
}

TEST_CASE("later transaction ids sort after earlier ones") {
  CHECK(make_transaction_id(1'700'000'000'000) < make_transaction_id(1'700'000'000'001));
}

TEST_CASE("random ids differ") {
  CHECK(random_u64() != random_u64());
  CHECK(random_log_id() != random_log_id());
  CHECK(random_store_id() != random_store_id());
}

TEST_CASE("a forked process does not repeat the randomness of its parent") {
  static_cast<void>(random_u64());  // the parent has bytes drawn ahead
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  pid_t child = fork();
  if (child == 0) {
    std::uint64_t drawn = random_u64();
    _exit(write(ends[1], &drawn, sizeof drawn) == sizeof drawn ? 0 : 1);
  }
  REQUIRE(child > 0);
  std::uint64_t of_child = 0;
  CHECK(read(ends[0], &of_child, sizeof of_child) == sizeof of_child);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  close(ends[0]);
  close(ends[1]);
  CHECK(of_child != random_u64());
}

TEST_CASE("the system clock counts in the units it names") {
  const Clock& clock = system_clock();
  CHECK(clock.wall_ms() > 1'600'000'000'000);
  CHECK(clock.wall_ms() < 10'000'000'000'000);
  std::int64_t before = clock.boot_us();
  CHECK(clock.boot_us() >= before);
  CHECK(clock.boot_ms() >= before / 1000);
}

}  // namespace tally
