#pragma once
// How the SDKs tell what happens beside the results of calls: one callback, given by the application.

#include <cstdint>
#include <functional>
#include <string_view>

namespace tally {

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };

/// Called from threads of the SDK, one call at a time or several; must not block and must not call the SDK. The text
/// is valid during the call only. An empty callback drops everything.
using LogCallback = std::function<void(LogLevel, std::string_view)>;

}  // namespace tally
