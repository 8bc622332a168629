#include "tools/log_inspect/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace tally::tools {
namespace {

constexpr std::int64_t kMomentMs = 500;
constexpr std::int64_t kRefreshMs = 200;
constexpr std::size_t kBarCharacters = 30;
constexpr std::string_view kClearLine = "\r\x1b[K";

/// "3:07", or "1:02:03".
std::string clock_text(std::uint64_t seconds) {
  char text[40];
  const auto part = [](std::uint64_t value) { return static_cast<unsigned>(value % 60); };
  if (seconds < 3600) {
    std::snprintf(text, sizeof text, "%u:%02u", part(seconds / 60), part(seconds));
  } else {
    std::snprintf(text, sizeof text, "%llu:%02u:%02u",
                  static_cast<unsigned long long>(seconds / 3600), part(seconds / 60),
                  part(seconds));
  }
  return text;
}

}  // namespace

Progress::Progress(std::string_view work, std::uint64_t total_bytes, const Clock& clock,
                   std::function<void(std::string_view)> show)
    : work_(work),
      total_bytes_(total_bytes),
      clock_(clock),
      show_(std::move(show)),
      began_ms_(clock.boot_ms()) {}

Progress Progress::beside_output(std::string_view work, std::uint64_t total_bytes) {
  if (isatty(STDOUT_FILENO) == 0) return on_terminal(work, total_bytes);
  return {work, total_bytes, system_clock(), {}};
}

Progress Progress::on_terminal(std::string_view work, std::uint64_t total_bytes) {
  if (isatty(STDERR_FILENO) == 0) return {work, total_bytes, system_clock(), {}};
  return {work, total_bytes, system_clock(), [](std::string_view text) {
            std::fwrite(text.data(), 1, text.size(), stderr);
            std::fflush(stderr);
          }};
}

Progress::~Progress() {
  if (shown_ms_ != 0) show_(kClearLine);
}

void Progress::reached(std::uint64_t bytes) {
  if (!show_) return;
  const std::int64_t now_ms = clock_.boot_ms();
  if (now_ms - began_ms_ < kMomentMs || now_ms - shown_ms_ < kRefreshMs) return;
  shown_ms_ = now_ms;
  show_(line(bytes, now_ms - began_ms_));
}

std::string Progress::line(std::uint64_t bytes, std::int64_t elapsed_ms) const {
  bytes = std::min(bytes, total_bytes_);
  const double share =
      total_bytes_ == 0 ? 1 : static_cast<double>(bytes) / static_cast<double>(total_bytes_);
  const auto filled = static_cast<std::size_t>(share * kBarCharacters);
  const double seconds = static_cast<double>(elapsed_ms) / 1000;
  const double rate = static_cast<double>(bytes) / seconds;
  char numbers[120];
  std::snprintf(numbers, sizeof numbers, "%3.0f %%  %.1f of %.1f MB  %.0f MB/s  ", share * 100,
                static_cast<double>(bytes) / 1e6, static_cast<double>(total_bytes_) / 1e6,
                rate / 1e6);
  std::string text(kClearLine);
  text.append(work_)
      .append(" [")
      .append(filled, '#')
      .append(kBarCharacters - filled, '.')
      .append("] ");
  text.append(numbers);
  if (bytes > 0) {
    const double left = static_cast<double>(total_bytes_ - bytes) / rate;
    text.append(clock_text(static_cast<std::uint64_t>(left + 0.5))).append(" left");
  }
  return text;
}

}  // namespace tally::tools
