#include "tools/demo/plan.h"

#include <random>

namespace tally::demo {
namespace {

constexpr int kDeathsPerStep = 3;
constexpr int kDeathsOfB = 4;
constexpr int kBrokerKills = 3;
constexpr int kStopsOfA = 3;

}  // namespace

std::string_view name(Step step) {
  switch (step) {
    case Step::kBeforeInsert:
      return "before-insert";
    case Step::kBeforeCommit:
      return "before-commit";
    case Step::kAfterCommit:
      return "after-commit";
    case Step::kAfterEnd:
      return "after-end";
  }
  return "";
}

std::optional<Step> step_from_name(std::string_view text) {
  for (Step step : kSteps) {
    if (name(step) == text) return step;
  }
  return std::nullopt;
}

Plan make_plan(std::uint64_t seed, TransferId transfers) {
  std::mt19937_64 random(seed);
  std::set<TransferId> used;
  // A transfer that goes through when nothing dies, and for which nothing is planned yet.
  auto pick = [&] {
    for (;;) {
      auto id = static_cast<TransferId>(1 + random() % transfers);
      if (!is_refused(id) && used.insert(id).second) return id;
    }
  };
  Plan plan;
  for (Step step : kSteps) {
    for (int i = 0; i < kDeathsPerStep; ++i) plan.deaths_of_a.emplace(pick(), step);
  }
  for (int i = 0; i < kDeathsOfB; ++i) plan.deaths_of_b.insert(pick());
  for (int i = 0; i < kStopsOfA; ++i) plan.stops_of_a.insert(pick());
  for (int i = 1; i <= kBrokerKills; ++i) {
    auto part = transfers / (kBrokerKills + 1);
    auto shift = static_cast<TransferId>(random() % (part / 2));
    plan.broker_kills.push_back(part * static_cast<TransferId>(i) + shift);
  }
  return plan;
}

}  // namespace tally::demo
