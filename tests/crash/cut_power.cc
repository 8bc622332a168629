// Cuts the power of a real tallyd on a real file system, again and again.
//
//   cut_power [--cuts N] [--seed S] [--file-system ext4|xfs] [--seeded-bug NAME]
//
// A life is an empty disk with three cuts, the last of them under load, and a check of everything
// that was acknowledged. Half of the lives are on ext4, half on XFS; in half of each the log is given
// up after a second and a half. With a seeded bug, where everything is kept, every life must lose
// something. Exit code 0, 1 when something was lost or invented, 77 when this machine cannot run it.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cxxopts.hpp>
#include <filesystem>
#include <random>

#include "tests/crash/crash_check.h"
#include "tests/crash/crash_load.h"
#include "tests/crash/crash_site.h"
#include "tests/crash/fail_points.h"
#include "tests/crash/isolation.h"
#include "tests/crash/loop_disk.h"
#include "tests/crash/torn_tail.h"

namespace tally::test {
namespace {

using Count = unsigned long long;

constexpr Count kCutsPerLife = 3;
constexpr std::size_t kBodyBytes = 2'800;  // so that a load of a second rolls several segments
constexpr std::size_t kSmallBodyBytes =
    20;  // one segment takes all: a broker with the bug comes back
constexpr std::int64_t kRetentionMs = 1'500;
constexpr int kStartMs = 60;         // about as long as a start takes
constexpr int kFailPointMs = 3'000;  // most are passed under load before
constexpr int kDiskFailed = 4;       // tallyd's exit code
constexpr int kSkipped = 77;
constexpr Count kFailuresMax = 3;  // more of them tell nothing new

struct Settings {
  Count cuts = 60;
  Count seed = 1;
  std::string file_system{};  // empty: both
  std::string seeded_bug{};
};

class Life {
 public:
  Life(const std::string& file_system, Count seed, bool seeded_bug, const std::string& folder)
      : disk_(LoopDisk::make(file_system, folder).value()),
        site_(disk_.folder() + "/data", folder),
        random_(seed),
        seeded_bug_(seeded_bug),
        oracle_(seeded_bug ? kSmallBodyBytes : kBodyBytes,
                seeded_bug || seed % 2 != 0 ? 0 : kRetentionMs) {
    site_.give_up_after(oracle_.retention_ms());
  }

  /// Throws when the broker does not come back.
  CrashOracle::Verdict run() {
    const Count torn = dice(kCutsPerLife);
    for (Count cut = 0; cut < kCutsPerLife; ++cut) {
      if (cut + 1 == kCutsPerLife || seeded_bug_) {
        cut_under_load();
      } else {
        any_cut();
      }
      disk_.power_on();
      if (cut == torn) tear_tail(site_.data_dir(), promised(), random_).value();
    }
    site_.keep_everything();
    const auto broker = site_.start();
    check_promises(broker.address, oracle_);
    return oracle_.verdict();
  }

 private:
  Count dice(Count sides) { return random_() % sides; }

  std::function<bool(const store::EntryView&)> promised() const {
    return [this](const store::EntryView& entry) { return oracle_.promised(entry); };
  }

  void any_cut() {
    if (dice(3) == 0) site_.remove_index();
    switch (dice(3)) {
      case 0:
        return cut_under_load();
      case 1:
        return cut_at_fail_point();
      default:
        return cut_in_start();
    }
  }

  void cut(ChildProcess& broker) {
    oracle_.close_books();
    disk_.cut_power();
    broker.signal(SIGKILL);
    const int code = broker.wait();
    oracle_.retention_ends();
    if (code == -SIGKILL || code == kDiskFailed) return;
    throw Exception(Error(ErrorCode::kInternal, "exit code " + std::to_string(code)));
  }

  void cut_under_load() {
    auto broker = seeded_bug_ ? site_.start_testing() : site_.start();
    oracle_.open_books();
    CrashLoad load(broker.address, random_(), oracle_);
    load.wait_for(200 + dice(6'000), dice(200));
    cut(broker.process);
  }

  /// Where the broker kills itself, in the start or under load, is the moment of the cut.
  void cut_at_fail_point() {
    auto broker = site_.launch_testing(fail_points_[dice(fail_points_.size())]);
    const auto address = ready_address(broker);
    if (!address) return cut(broker);
    site_.disarm();
    oracle_.open_books();
    CrashLoad load(*address, random_(), oracle_);
    load.wait_for(200, 20);
    site_.arm();
    load.gone_within(kFailPointMs);
    cut(broker);
  }

  void cut_in_start() {
    auto broker = site_.launch();
    broker.speaks_within(static_cast<int>(dice(kStartMs)));
    cut(broker);
  }

  const std::vector<std::string> fail_points_ = broker_fail_points();
  LoopDisk disk_;
  CrashSite site_;
  std::mt19937_64 random_;
  const bool seeded_bug_;
  CrashOracle oracle_;
};

/// Lives on the usable file systems, and what came out of them.
class PowerCuts {
 public:
  PowerCuts(Settings settings, std::string folder)
      : settings_(std::move(settings)), folder_(std::move(folder)) {}

  int run() {
    find_file_systems();
    if (file_systems_.empty()) return kSkipped;
    const Count lives = (settings_.cuts + kCutsPerLife - 1) / kCutsPerLife;
    for (Count i = 0; i < lives && (bug() || failed_ < kFailuresMax); ++i) {
      // A seed means the same with one file system and with both.
      const Count seed = settings_.seed + i / file_systems_.size();
      live(file_systems_[i % file_systems_.size()], seed);
    }
    if (bug()) {
      std::printf("%llu lives with the bug %s, %llu of them lost something, %llu in all\n", lives,
                  settings_.seeded_bug.c_str(), failed_, lost_);
      return failed_ == lives ? 0 : 1;
    }
    std::printf("%llu cuts, %llu acknowledged, %llu lost, %llu invented\n", cuts_, acknowledged_,
                lost_, invented_);
    return failed_ == 0 ? 0 : 1;
  }

 private:
  bool bug() const { return !settings_.seeded_bug.empty(); }

  void find_file_systems() {
    for (const char* file_system : {"ext4", "xfs"}) {
      if (!settings_.file_system.empty() && settings_.file_system != file_system) continue;
      const auto disk = LoopDisk::make(file_system, folder_);
      if (disk) {
        file_systems_.push_back(file_system);
      } else {
        std::printf("SKIPPED: %s: %s\n", file_system, disk.error().message.c_str());
      }
    }
  }

  void live(const std::string& file_system, Count seed) {
    const std::string folder = folder_ + "/" + file_system + "-" + std::to_string(seed);
    std::filesystem::create_directory(folder);
    const bool good = verdict(file_system, seed, folder);
    failed_ += !good;
    if (good || bug()) {
      std::filesystem::remove_all(folder);
      return;
    }
    std::printf(
        "The disk is kept in %s; again: tools/dev crash --file-system %s --seed %llu "
        "--cuts %llu\n",
        folder.c_str(), file_system.c_str(), seed, kCutsPerLife);
  }

  bool verdict(const std::string& file_system, Count seed, const std::string& folder) {
    CrashOracle::Verdict verdict;
    try {
      verdict = Life(file_system, seed, bug(), folder).run();
    } catch (const std::exception& error) {
      verdict.lost = 1;  // at least
      verdict.examples = {error.what()};
    }
    cuts_ += kCutsPerLife;
    acknowledged_ += verdict.acknowledged;
    lost_ += verdict.lost;
    invented_ += verdict.invented;
    if (bug()) verdict.examples.clear();  // as it should be
    for (const std::string& example : verdict.examples) {
      std::printf("%s, seed %llu: %s\n", file_system.c_str(), seed, example.c_str());
    }
    std::fflush(stdout);
    return verdict.lost == 0 && verdict.invented == 0;
  }

  const Settings settings_;
  const std::string folder_;
  std::vector<std::string> file_systems_{};
  Count cuts_ = 0, acknowledged_ = 0, lost_ = 0, invented_ = 0, failed_ = 0;
};

int run(const Settings& settings) {
  std::string folder = (std::filesystem::temp_directory_path() / "tally-cuts-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return 1;
  const auto code = run_isolated([&] { return PowerCuts(settings, folder).run(); });
  if (!code) std::printf("SKIPPED: %s\n", code.error().message.c_str());
  if (!code || *code != 1) std::filesystem::remove_all(folder);
  return code ? *code : kSkipped;
}

}  // namespace
}  // namespace tally::test

int main(int argc, char** argv) {
  tally::test::Settings settings;
  cxxopts::Options options("cut_power", "Cuts the power of a tallyd on a disk of its own");
  options.add_options()("cuts", "how often", cxxopts::value(settings.cuts))(
      "seed", "of the first life", cxxopts::value(settings.seed))(
      "file-system", "ext4 or xfs; both when missing", cxxopts::value(settings.file_system))(
      "seeded-bug", "which every life must notice", cxxopts::value(settings.seeded_bug))("help",
                                                                                         "");
  try {
    if (options.parse(argc, argv).count("help") != 0) {
      std::printf("%s", options.help().c_str());
      return 0;
    }
  } catch (const cxxopts::exceptions::exception& error) {
    std::fprintf(stderr, "cut_power: %s\n", error.what());
    return 2;
  }
  if (!settings.seeded_bug.empty()) setenv("TALLY_SEEDED_BUG", settings.seeded_bug.c_str(), 1);
  return tally::test::run(settings);
}
