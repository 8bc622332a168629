#pragma once
// The brokers that a crash test starts in one data directory, one after the other.

#include <cstdint>
#include <string>
#include <vector>

#include "tools/process/child_process.h"

namespace tally::test {

class CrashSite {
 public:
  /// `folder` takes the broker's messages and the file that arms fail-points; it must not lie on a
  /// file system that loses power.
  CrashSite(std::string data_dir, std::string folder)
      : data_dir_(std::move(data_dir)), folder_(std::move(folder)) {}
  ~CrashSite();

  /// From the next start on brokers give up what is older, and its log.
  void give_up_after(std::int64_t retention_ms) { retention_ms_ = retention_ms; }
  void keep_everything() { retention_ms_ = 0; }

  /// Starts the product and does not wait for it. Throws Exception.
  ChildProcess launch() const;
  /// Starts tallyd-testing, which kills itself at the fail-point (empty: nowhere) as long as it is
  /// armed; at first it is.
  ChildProcess launch_testing(const std::string& fail_point) const;
  /// The same, returning when it serves. Throw Exception also when it ends before.
  RunningBroker start() const { return serving(launch()); }
  RunningBroker start_testing() const { return serving(launch_testing({})); }
  void arm() const;
  void disarm() const;

  void remove_index() const;
  const std::string& data_dir() const { return data_dir_; }
  std::string messages() const { return folder_ + "/tallyd.log"; }

 private:
  RunningBroker serving(ChildProcess broker) const;
  ChildProcess launch_program(const std::string& name) const;
  std::string arm_file() const { return folder_ + "/armed"; }
  const std::string data_dir_, folder_;
  std::int64_t retention_ms_ = 0;  // 0: the default
};

}  // namespace tally::test
