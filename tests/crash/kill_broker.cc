// Kills a real tallyd with SIGKILL, again and again: at every fail-point that stands in the source,
// and at random moments, under load, in the first start of a fresh directory, and in recovery.
//
//   kill_broker [--kills N] [--seed S]
//
// A life is a fresh directory with several kills and a check of everything that was acknowledged.
// For each fail-point there is a short life in which the very first start may die there. Then come
// long ones, of ten kills at least, in which the log is given up after a second and a half, until the
// broker died at every fail-point; then N kills in lives in which everything is kept. Exit code 1
// when something was lost or invented, or a fail-point is never reached.

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cxxopts.hpp>
#include <filesystem>
#include <functional>
#include <map>
#include <random>

#include "tests/crash/crash_check.h"
#include "tests/crash/crash_load.h"
#include "tests/crash/crash_site.h"
#include "tests/crash/fail_points.h"
#include "tests/crash/torn_tail.h"

namespace tally::test {
namespace {

using Count = unsigned long long;

constexpr Count kKillsPerLife = 10;
constexpr std::size_t kBodyBytes = 2'800;  // so that a load rolls several segments
constexpr Count kSends = 500, kTransactions = 100;
constexpr std::int64_t kForEver = 0, kRetentionMs = 1'500;
constexpr int kStartMs = 60;         // about as long as a start takes
constexpr int kFailPointMs = 3'000;  // each is passed under load before, or never
constexpr int kTriesMax = 10;
constexpr Count kFailuresMax = 3;  // more of them tell nothing new

/// How often the broker died at each fail-point.
class FailPoints {
 public:
  FailPoints() {
    for (std::string& name : broker_fail_points()) points_[std::move(name)] = {};
  }

  /// One that was never reached, as long as there is hope; else any.
  std::string next(std::mt19937_64& random) {
    for (auto& [name, point] : points_) {
      if (point.deaths == 0 && point.tries < kTriesMax) return ++point.tries, name;
    }
    auto any = points_.begin();
    std::advance(any, static_cast<std::ptrdiff_t>(random() % points_.size()));
    return any->first;
  }
  void died_at(const std::string& name) { ++points_.at(name).deaths; }

  bool hope() const {
    return std::any_of(points_.begin(), points_.end(), [](const auto& item) {
      return item.second.deaths == 0 && item.second.tries < kTriesMax;
    });
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [name, point] : points_) names.push_back(name);
    return names;
  }
  std::vector<std::string> never_reached() const {
    std::vector<std::string> names;
    for (const auto& [name, point] : points_) {
      if (point.deaths == 0) names.push_back(name);
    }
    return names;
  }
  std::size_t size() const { return points_.size(); }

 private:
  struct Point {
    int tries = 0, deaths = 0;
  };
  std::map<std::string, Point> points_{};
};

/// What happens to one data directory.
class Life {
 public:
  Life(const std::string& folder, Count seed, std::int64_t retention_ms, FailPoints& points)
      : site_(folder + "/data", folder),
        oracle_(kBodyBytes, retention_ms),
        random_(seed),
        points_(points) {
    site_.give_up_after(retention_ms);
  }

  // These throw when the broker does not come back, or ends otherwise than by SIGKILL.

  CrashOracle::Verdict dies_in_first_start(const std::string& point) {
    auto broker = site_.launch_testing(point);
    if (ready_address(broker)) broker.signal(SIGKILL);
    killed(broker);
    at_random();
    return check();
  }

  CrashOracle::Verdict dies_often() {
    while (kills_ < kKillsPerLife) {
      at_random();
      if (random_() % 2 == 0) in_start();
      if (random_() % 2 == 0) tear();
      if (random_() % 2 == 0) site_.remove_index();
      at_fail_point(points_.next(random_));
    }
    return check();
  }
  Count kills() const { return kills_; }

 private:
  CrashOracle::Verdict check() {
    site_.keep_everything();
    const auto broker = site_.start();
    check_promises(broker.address, oracle_);
    return oracle_.verdict();
  }

  void tear() {
    const auto promised = [&](const auto& entry) { return oracle_.promised(entry); };
    tear_tail(site_.data_dir(), promised, random_).value();
  }

  void at_random() {
    auto broker = site_.start();
    CrashLoad load(broker.address, random_(), oracle_);
    load.wait_for(kSends + random_() % kSends, kTransactions);
    broker.process.signal(SIGKILL);
    killed(broker.process);
  }

  void in_start() {
    auto broker = site_.launch();
    broker.speaks_within(static_cast<int>(random_() % kStartMs));
    broker.signal(SIGKILL);
    killed(broker);
  }

  /// In the start, or under load when the start does not get there; at worst near it.
  void at_fail_point(const std::string& point) {
    auto broker = site_.launch_testing(point);
    const auto address = ready_address(broker);
    const bool reached = !address || under_load(*address);
    if (reached) {
      points_.died_at(point);
    } else {
      broker.signal(SIGKILL);
    }
    killed(broker);
  }

  /// True: the broker dies.
  bool under_load(const std::string& address) {
    site_.disarm();
    CrashLoad load(address, random_(), oracle_);
    load.wait_for(kSends, kTransactions);
    site_.arm();
    return load.gone_within(kFailPointMs);
  }

  void killed(ChildProcess& broker) {
    ++kills_;
    const int code = broker.wait();
    oracle_.retention_ends();
    if (code == -SIGKILL) return;
    throw Exception(Error(ErrorCode::kInternal,
                          "the broker ended by itself: exit code " + std::to_string(code)));
  }

  CrashSite site_;
  CrashOracle oracle_;
  std::mt19937_64 random_;
  FailPoints& points_;
  Count kills_ = 0;
};

class Kills {
 public:
  explicit Kills(std::string folder) : folder_(std::move(folder)) {}

  int run(Count wanted, Count seed) {
    for (const std::string& point : points_.names()) {
      if (hopeless()) break;
      live(seed, kForEver, [&](Life& life) { return life.dies_in_first_start(point); });
    }
    const auto dies_often = [](Life& life) { return life.dies_often(); };
    for (; !hopeless() && points_.hope(); ++seed) live(seed, kRetentionMs, dies_often);
    for (wanted += kills_; !hopeless() && kills_ < wanted; ++seed) live(seed, kForEver, dies_often);
    std::printf("%llu kills, %llu acknowledged, %llu lost, %llu invented; %zu fail-points\n",
                kills_, acknowledged_, lost_, invented_, points_.size());
    for (const std::string& name : points_.never_reached()) {
      std::printf("the broker never died at the fail-point %s\n", name.c_str());
    }
    return lost_ == 0 && invented_ == 0 && points_.never_reached().empty() ? 0 : 1;
  }

 private:
  bool hopeless() const { return failed_ == kFailuresMax; }

  void live(Count seed, std::int64_t retention_ms,
            const std::function<CrashOracle::Verdict(Life&)>& run) {
    const std::string folder = folder_ + "/" + std::to_string(lives_++);
    std::filesystem::create_directory(folder);
    CrashOracle::Verdict verdict;
    Life life(folder, seed, retention_ms, points_);
    try {
      verdict = run(life);
    } catch (const std::exception& error) {
      verdict.lost = 1;  // at least
      verdict.examples = {error.what()};
    }
    kills_ += std::max<Count>(life.kills(), 1);
    acknowledged_ += verdict.acknowledged;
    lost_ += verdict.lost;
    invented_ += verdict.invented;
    for (const std::string& example : verdict.examples) std::printf("%s\n", example.c_str());
    if (verdict.lost == 0 && verdict.invented == 0) {
      std::filesystem::remove_all(folder);
      return;
    }
    ++failed_;
    std::printf("The data is kept in %s; again: kill_broker --seed %llu\n", folder.c_str(), seed);
  }

  const std::string folder_;
  FailPoints points_{};
  Count lives_ = 0, failed_ = 0, kills_ = 0, acknowledged_ = 0, lost_ = 0, invented_ = 0;
};

int run(Count kills, Count seed) {
  std::string folder = (std::filesystem::temp_directory_path() / "tally-kills-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return 1;
  const int code = Kills(folder).run(kills, seed);
  if (code == 0) std::filesystem::remove_all(folder);
  return code;
}

}  // namespace
}  // namespace tally::test

int main(int argc, char** argv) {
  unsigned long long kills = 20, seed = 1;
  cxxopts::Options options("kill_broker", "Kills a tallyd at every fail-point and at random");
  options.add_options()("kills", "of brokers that keep everything", cxxopts::value(kills))(
      "seed", "of the first life", cxxopts::value(seed))("help", "");
  try {
    if (options.parse(argc, argv).count("help") != 0) {
      std::printf("%s", options.help().c_str());
      return 0;
    }
  } catch (const cxxopts::exceptions::exception& error) {
    std::fprintf(stderr, "kill_broker: %s\n", error.what());
    return 2;
  }
  return tally::test::run(kills, seed);
}
