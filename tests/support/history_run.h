#pragma once
// The broker as a service: what it recovers, and whether it answers: R11, R12.

#include <string>
#include <unordered_map>

#include "tests/support/history_findings.h"

namespace tally::test {

class Run {
 public:
  Run(Findings& findings, const CheckerLimits& limits) : findings_(findings), limits_(limits) {}

  /// To be called for every event first.
  void time(EventNumber event, std::int64_t at_ms);
  void call_ok() { healing_ = 0; }
  /// Somebody was told of this index.
  void applied(EventNumber event, AppliedIndex index);
  void restarted(EventNumber event, AppliedIndex recovered);
  void digest(EventNumber event, const DigestSeen& seen);
  void faulted() { healing_ = 0; }
  void healed(EventNumber event, std::int64_t at_ms);
  void call_hangs(EventNumber invoked, std::string_view operation);
  void finish();

 private:
  struct Digest {
    std::uint64_t value = 0;
    EventNumber event = 0;
  };
  Findings& findings_;
  CheckerLimits limits_;
  AppliedIndex newest_ = 0;
  EventNumber newest_event_ = 0;
  std::unordered_map<AppliedIndex, Digest> logs_{}, states_{};
  EventNumber healing_ = 0;
  std::int64_t healed_at_ms_ = 0;
};

}  // namespace tally::test
