#include "tests/states/system_calls.h"

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdio>

#include "tests/states/store_machine.h"
#include "tests/support/temporary_folder.h"

namespace tally::testing {
namespace {

constexpr std::array kWork = {Step::kSmall, Step::kBatch,   Step::kRoll, Step::kBase,
                              Step::kBig,   Step::kRestart, Step::kSmall};

/// Until the first error.
Result<void> work(Machine& machine) {
  Result<void> done = machine.start();
  for (std::size_t i = 0; done && i < kWork.size(); ++i) done = machine.run(kWork[i]);
  return done;
}

/// What a new process finds.
void check_all_there(const TemporaryFolder& folder, const Truth& truth) {
  Recovered found;
  const auto opened = found.open(store::real_file_system(), {}, folder.file("0"));
  INFO((opened ? std::string() : opened.error().message));
  REQUIRE(opened);
  const Complaint wrong = compare_entries(found, truth, 0);
  INFO(wrong.value_or(""));
  REQUIRE_FALSE(wrong);
  CHECK_FALSE(compare_messages(*found.log, truth, 0, truth.acknowledged));
}

TEST_CASE("reads and writes that do a part, or are interrupted, are carried on") {
  const std::uint64_t bytes_max = GENERATE(100u, 1'000u, 4'096u);
  const TemporaryFolder folder;
  hinder_system_calls(bytes_max);
  Truth truth;
  {
    Machine machine(store::real_file_system(), Machine::IndexKind::kMap, folder.file("0"));
    const auto done = work(machine);
    INFO((done ? std::string() : done.error().message));
    CHECK(done);
    truth = machine.truth();
  }
  CHECK(truth.acknowledged == truth.entries.size());
  check_all_there(folder, truth);
  hinder_system_calls(0);
  check_all_there(folder, truth);
}

TEST_CASE("no system call that fails loses an acknowledged entry") {
  std::uint64_t faults = 0;
  for (const char* call :
       {"pwritev", "pread", "fdatasync", "fsync", "fallocate", "rename", "unlink", "lseek"}) {
    bool met = true;
    for (std::uint64_t number = 0; met; ++number) {
      met = false;
      for (const int error : {EIO, ENOSPC}) {
        const TemporaryFolder folder;
        inject_system_call({.call = call, .number = number, .error = error});
        Truth truth;
        {
          Machine machine(store::real_file_system(), Machine::IndexKind::kMap, folder.file("0"));
          static_cast<void>(work(machine));
          truth = machine.truth();
        }
        met = met || system_call_failed();
        heal_system_calls();
        CAPTURE(call, number, error);
        check_all_there(folder, truth);
        ++faults;
      }
    }
  }
  std::printf("failing system calls: %llu faults, 0 violations\n",
              static_cast<unsigned long long>(faults));
}

}  // namespace
}  // namespace tally::testing
