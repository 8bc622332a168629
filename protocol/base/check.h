#pragma once
// TALLY_CHECK(condition): a bug if false. On in release; prints where and aborts, so that nothing
// is built on a broken state.

namespace tally {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}

#define TALLY_CHECK(condition) \
  (static_cast<bool>(condition) ? void(0) : ::tally::check_failed(#condition, __FILE__, __LINE__))
