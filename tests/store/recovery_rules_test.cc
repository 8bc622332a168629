#include "store/recovery_rules.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>

namespace tally::store {
namespace {

TEST_CASE("every combination of stop and witness stands in exactly one recovery rule") {
  // The lists hold each enumerator once: they count up from the first to the last.
  for (std::size_t i = 0; i < kStops.size(); ++i) {
    CHECK(static_cast<std::size_t>(kStops[i]) == i);
    CHECK_FALSE(describe(kStops[i]).empty());
  }
  CHECK(describe(Stop(kStops.size())).empty());
  for (std::size_t i = 0; i < kLaters.size(); ++i) {
    CHECK(static_cast<std::size_t>(kLaters[i]) == i);
  }
  CHECK(kLaters.back() == Later::kCheckpoint);
  for (const Stop stop : kStops) {
    for (const Later later : kLaters) {
      CHECK(std::count_if(kRecoveryRules.begin(), kRecoveryRules.end(),
                          [&](const RecoveryRule& rule) {
                            return rule.stop == stop && rule.later == later;
                          }) == 1);
    }
  }
  CHECK(kRecoveryRules.size() == kStops.size() * kLaters.size());
  std::printf("recovery: %zu states × %zu events = %zu rows\n", kStops.size(), kLaters.size(),
              kRecoveryRules.size());
}

TEST_CASE("nothing that was durable for sure is ever cut") {
  for (const RecoveryRule& rule : kRecoveryRules) {
    const bool witness = rule.later == Later::kEntry || rule.later == Later::kSegment ||
                         rule.later == Later::kCheckpoint;
    if (witness) {
      CHECK(rule.verdict != Verdict::kCut);
      CHECK(rule.verdict != Verdict::kServe);
    }
  }
}

}  // namespace
}  // namespace tally::store
