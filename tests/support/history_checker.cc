#include "tests/support/history_checker.h"

#include <array>

namespace tally::test {

std::string_view name(Rule rule) {
  constexpr std::array<std::string_view, kRules> kNames = {
      "R0 malformed", "R1 phantom",  "R2 aborted",  "R3 early",      "R4 lost",
      "R5 decision",  "R6 settled",  "R7 order",    "R8 position",   "R9 duplicate",
      "R10 check",    "R11 restart", "R12 service", "R13 accounting"};
  return kNames.at(static_cast<std::size_t>(rule));
}

std::string to_string(const Violation& violation) {
  std::string text(name(violation.rule));
  text += ": " + violation.text + " (events";
  const char* before = " ";
  for (const auto event : violation.events) {
    text += before + std::to_string(event);
    before = ", ";
  }
  return text + ")";
}

struct HistoryChecker::State {
  Summary summary{};
};

HistoryChecker::HistoryChecker(const CheckerLimits& /*limits*/)
    : state_(std::make_unique<State>()) {}
HistoryChecker::~HistoryChecker() = default;

std::vector<Violation> HistoryChecker::add(const Event& /*event*/) {
  ++state_->summary.events;
  return {};
}

std::vector<Violation> HistoryChecker::finish() { return {}; }

const HistoryChecker::Summary& HistoryChecker::summary() const { return state_->summary; }

}  // namespace tally::test
