#pragma once
// What the parts of the history checker share: numbers for events and names, and where violations go.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/support/history_checker.h"

namespace tally::test {

using EventNumber = std::uint64_t;  ///< from 1; 0: it has not happened
using NameId = std::uint32_t;       ///< 0: the empty text

/// Texts as small numbers.
class Names {
 public:
  Names() { texts_.emplace_back(); }
  NameId of(const std::string& text) {
    if (text.empty()) return 0;
    const auto [at, added] = ids_.try_emplace(text, static_cast<NameId>(texts_.size()));
    if (added) texts_.push_back(text);
    return at->second;
  }
  const std::string& text(NameId id) const { return texts_[id]; }

 private:
  std::unordered_map<std::string, NameId> ids_{};
  std::deque<std::string> texts_{};
};

/// Two numbers as one key.
struct Pair {
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  bool operator==(const Pair&) const = default;
};
struct PairHash {
  std::size_t operator()(const Pair& pair) const noexcept {
    return (pair.first * 0x9E3779B97F4A7C15ull) ^ (pair.second + (pair.first >> 32));
  }
};

template <typename... Parts>
std::string sentence(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return std::move(out).str();
}

class Findings {
 public:
  /// Events that have not happened (0) are left out.
  void add(Rule rule, std::string text, std::initializer_list<EventNumber> events) {
    Violation violation{.rule = rule, .text = std::move(text), .events = {}};
    for (const EventNumber event : events) {
      if (event != 0) violation.events.push_back(event);
    }
    std::sort(violation.events.begin(), violation.events.end());
    const auto end = std::unique(violation.events.begin(), violation.events.end());
    violation.events.erase(end, violation.events.end());
    found_.push_back(std::move(violation));
  }
  std::vector<Violation> take() { return std::exchange(found_, {}); }

 private:
  std::vector<Violation> found_{};
};

}  // namespace tally::test
