#pragma once
// A tallyd of the benchmark's own: started in a temporary folder, stopped and removed at the end.

#include <cstdint>
#include <string>
#include <tally/result.hpp>

#include "tools/process/child_process.h"

namespace tally::cli {

class OwnBroker {
 public:
  /// Starts the tallyd beside this program, on a free port, with its data in a new folder under `parent`.
  static Result<OwnBroker> start(const std::string& parent);
  OwnBroker(OwnBroker&& other) noexcept = default;
  OwnBroker& operator=(OwnBroker&&) = delete;
  ~OwnBroker();

  const std::string& address() const { return broker_.address; }
  const std::string& folder() const { return folder_; }

 private:
  OwnBroker(RunningBroker broker, std::string folder)
      : broker_(std::move(broker)), folder_(std::move(folder)) {}
  RunningBroker broker_;
  std::string folder_;
};

/// The median time of writing and syncing 4 KiB on a preallocated and written file in `folder`, in microseconds.
Result<std::int64_t> fdatasync_4k_us(const std::string& folder);

}  // namespace tally::cli
