#include "tests/support/history_run.h"

namespace tally::test {

void Run::time(EventNumber event, std::int64_t at_ms) {
  if (healing_ == 0 || at_ms - healed_at_ms_ <= limits_.heal_ms) return;
  findings_.add(
      Rule::kService,
      sentence("no call was answered within ", limits_.heal_ms, " ms after the faults were healed"),
      {healing_, event});
  healing_ = 0;
}

void Run::applied(EventNumber event, AppliedIndex index) {
  if (index <= newest_) return;
  newest_ = index;
  newest_event_ = event;
}

void Run::restarted(EventNumber event, AppliedIndex recovered) {
  if (recovered == 0 || recovered >= newest_) return;
  findings_.add(Rule::kRestart,
                sentence("the broker came back at index ", recovered,
                         ", but it had answered from index ", newest_),
                {newest_event_, event});
}

void Run::digest(EventNumber event, const DigestSeen& seen) {
  auto& known = seen.of == DigestOf::kLog ? logs_ : states_;
  const auto [at, added] =
      known.try_emplace(seen.index, Digest{.value = seen.digest, .event = event});
  if (added || at->second.value == seen.digest) return;
  findings_.add(Rule::kRestart,
                sentence(seen.of == DigestOf::kLog ? "the log up to index " : "the state at index ",
                         seen.index, " is not what it was"),
                {at->second.event, event});
}

void Run::healed(EventNumber event, std::int64_t at_ms) {
  healing_ = event;
  healed_at_ms_ = at_ms;
}

void Run::call_hangs(EventNumber invoked, std::string_view operation) {
  findings_.add(Rule::kService, sentence("a call (", operation, ") never ended"), {invoked});
}

void Run::finish() {
  if (healing_ == 0) return;
  findings_.add(Rule::kService, "no call was answered after the faults were healed", {healing_});
}

}  // namespace tally::test
