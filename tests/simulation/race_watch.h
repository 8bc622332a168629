#pragma once
// Counts how often a run really hits each race, from what broker and producers do. It judges nothing.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "broker/core/core_types.h"
#include "tests/simulation/observer.h"

namespace tally::simulation {

class RaceWatch {
 public:
  RaceWatch(World& world, Observer& observer) : world_(world), observer_(observer) {}

  // --- the broker ---
  void admitted(const broker::Command& command);
  void replied(const broker::Reply& reply);
  /// It dies with so many ENDs durable and not applied, or applied and not answered.
  void broker_died(std::uint64_t ends_not_applied, std::uint64_t ends_not_answered);
  /// `late`: it was down for longer than retention.
  void broker_started(std::uint64_t pending, bool late);
  void clock_jumped(std::uint64_t pending);

  // --- producers ---
  void local_work_began(const std::string& transaction);
  void local_work_ended(const std::string& transaction);
  /// It died with this transaction under way.
  void producer_died(const std::string& transaction, Step step);
  /// Nobody else uses its id.
  void gave_up(const std::string& transaction) { given_up_.insert(transaction); }
  /// Its check will be answered by somebody who was not asked.
  void uninvited(const std::string& transaction) { uninvited_.insert(transaction); }
  void check_asked(const std::string& transaction);
  void check_answered(const std::string& transaction, Decision decision);
  /// A stopped process goes on, with this transaction of its own open.
  void went_on_with(const std::string& transaction);

 private:
  struct Flying {
    std::string transaction{};
    std::uint32_t message = 0;  ///< of a half; 0: an END
    Decision decision{};
    bool answers_check = false;
  };
  using Key = std::pair<std::uint64_t, std::uint64_t>;  ///< session, request

  void admitted_half(const Key& key, const PrepareRequest& half, std::uint64_t block);
  void admitted_end(const Key& key, Flying end);

  World& world_;
  Observer& observer_;
  std::map<Key, Flying> flying_{};
  std::set<std::tuple<std::string, std::uint32_t, std::uint64_t>> halves_{};  ///< admitted once
  std::map<std::string, std::uint64_t> newest_half_{};  ///< LSN of the transaction's handle
  std::map<std::string, std::int64_t> rollback_by_check_us_{};
  std::map<std::string, std::int64_t> commit_asked_us_{};
  std::set<std::string> decided_{};
  std::set<std::string> local_work_{};
  std::set<std::string> died_before_commit_{};
  std::set<std::string> given_up_{};
  std::set<std::string> uninvited_{};
};

}  // namespace tally::simulation
