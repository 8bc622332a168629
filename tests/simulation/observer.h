#pragma once
// What a simulation notes of itself: the history, judged event by event, and how often each race was really hit.

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/simulation/options.h"
#include "tests/simulation/world.h"
#include "tests/support/history_checker.h"
#include "tests/support/history_json.h"

namespace tally::simulation {

class Observer {
 public:
  Observer(World& world, const test::CheckerLimits& limits) : world_(world), checker_(limits) {}

  void add(const std::string& process, test::EventBody what) {
    const test::Event event{world_.now_ms(), process, std::move(what)};
    if (world_.tracing()) world_.trace(process, test::to_json(event));
    note(checker_.add(event));
  }
  void finish() { note(checker_.finish()); }
  /// A rule that this simulation judges by itself.
  void violate(test::Rule rule, std::string text) { note({{rule, std::move(text), {}}}); }

  /// A later transaction under an id that was used before: the history gives it a name of its own.
  struct Namesake {
    std::string name{};
    std::string id{};
    Winner before{};  ///< what became of the transaction before
  };
  /// `block`: the checksum of one of its messages, by which it is known.
  void namesake(std::uint64_t block, const Namesake& of) { by_block_[block] = of; }
  std::string name_of_half(const std::string& id, std::uint64_t block) const {
    const auto found = by_block_.find(block);
    return found == by_block_.end() ? id : found->second.name;
  }
  void half_stored(Lsn lsn, std::uint64_t block) {
    const auto found = by_block_.find(block);
    if (found == by_block_.end()) return;
    by_handle_[lsn.value] = found->second.name;
    replaced_[found->second.id] = found->second.before;
  }
  /// What the history calls the transaction with this handle.
  std::string name_of(const std::string& id, const Handle& handle) const {
    const auto found = by_handle_.find(handle.lsn.value);
    return found == by_handle_.end() ? id : found->second;
  }
  /// Those that the broker can no longer show.
  const std::map<std::string, Winner>& replaced() const { return replaced_; }

  /// Who was asked with this challenge; the answer of anybody else is none.
  struct Challenge {
    std::string process{};
    std::string transaction{};
  };
  void challenged(std::uint64_t challenge, Challenge of) { challenges_[challenge] = std::move(of); }
  /// Null: nobody was.
  const Challenge* find_challenge(std::uint64_t challenge) const {
    const auto found = challenges_.find(challenge);
    return found == challenges_.end() ? nullptr : &found->second;
  }
  bool was_asked(const std::string& process, std::uint64_t challenge) const {
    const Challenge* asked = find_challenge(challenge);
    return asked != nullptr && asked->process == process;
  }

  template <typename... Parts>
  void trace(std::string_view who, const Parts&... parts) {
    world_.trace(who, parts...);
  }
  test::CallId next_call() { return ++calls_; }
  void hit(Race race) { ++races_[index(race)]; }

  bool failed() const { return !violations_.empty(); }
  const std::vector<test::Violation>& violations() const { return violations_; }
  const std::array<std::uint64_t, kRaces>& races() const { return races_; }
  const test::HistoryChecker::Summary& summary() const { return checker_.summary(); }

 private:
  void note(std::vector<test::Violation>&& found) {
    for (test::Violation& violation : found) {
      world_.trace("VIOLATION", test::to_string(violation));
      violations_.push_back(std::move(violation));
    }
  }

  World& world_;
  test::HistoryChecker checker_;
  std::vector<test::Violation> violations_{};
  std::array<std::uint64_t, kRaces> races_{};
  std::map<std::uint64_t, Namesake> by_block_{};
  std::map<std::uint64_t, std::string> by_handle_{};  ///< by LSN
  std::map<std::string, Winner> replaced_{};
  std::map<std::uint64_t, Challenge> challenges_{};
  test::CallId calls_ = 0;
};

}  // namespace tally::simulation
