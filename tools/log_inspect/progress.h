#pragma once
// How far a long work has come, as one line of a terminal. One thread.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "protocol/base/clock.h"

namespace tally::tools {

class Progress {
 public:
  /// `work` says what is done. `show` writes to the terminal; empty: nothing is shown.
  Progress(std::string_view work, std::uint64_t total_bytes, const Clock& clock,
           std::function<void(std::string_view)> show);
  /// Standard error, if it is a terminal.
  static Progress on_terminal(std::string_view work, std::uint64_t total_bytes);
  /// The same for work that prints what it finds: silent when that goes to a terminal, too.
  static Progress beside_output(std::string_view work, std::uint64_t total_bytes);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Bytes that are done in all. Shown a few times a second, and not within the first moment.
  void reached(std::uint64_t bytes);

 private:
  std::string line(std::uint64_t bytes, std::int64_t elapsed_ms) const;

  const std::string work_;
  const std::uint64_t total_bytes_;
  const Clock& clock_;
  const std::function<void(std::string_view)> show_;
  const std::int64_t began_ms_;
  std::int64_t shown_ms_ = 0;  ///< 0: not yet
};

}  // namespace tally::tools
