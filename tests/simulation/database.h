#pragma once
// A producer's database with the barrier table, and, for producers without one, the local state that a listener looks at.
//
// The barrier follows producer-sdk/sqlite: the first statement of a local transaction inserts the letter C, a check inserts R
// or reads what stands, the key is unique, a row of a transaction that still runs is locked. Commits are durable.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tally/database.hpp>
#include <vector>

#include "tests/simulation/observer.h"

namespace tally::simulation {

class Database {
 public:
  Database(World& world, Observer& observer, std::uint8_t number);

  StoreId store() const { return store_; }
  WallClock& wall() { return wall_; }

  /// A local transaction: the lock of its row. 0: none.
  using Local = std::uint64_t;
  struct Begun {
    Local local = 0;
    std::optional<LocalOutcome> refused{};  ///< it is over already
  };
  /// Nothing: another transaction holds the row; try again.
  std::optional<Begun> begin(const std::string& transaction, const Handle& handle,
                             std::int64_t deadline_ms);
  /// The business row becomes visible and durable.
  void commit(Local local);
  void roll_back(Local local);

  /// Nothing: the row is locked.
  std::optional<CheckVerdict> check(const std::string& transaction, const Handle& handle);

  /// A transaction that this database will know the truth of.
  void expect(const std::string& transaction) { expected_.insert(transaction); }
  /// The run is over: what is not committed never will be.
  void tell_truth();
  std::vector<BarrierRow> barrier_rows(const BarrierQuery& query) const;
  void forget(const std::vector<std::string>& transactions, std::int64_t before_ms);

  struct Row {
    Handle handle{};
    char letter{};
    std::int64_t written_ms = 0;  ///< by its own clock
  };

 private:
  World& world_;
  Observer& observer_;
  StoreId store_{};
  WallClock wall_{};
  std::map<std::string, Row> rows_{};
  struct Open {
    std::string transaction{};
    Row row{};
  };
  std::map<Local, Open> open_{};
  std::map<std::string, Local> locks_{};
  std::set<std::string> expected_{};
  std::set<std::string> business_{};
  Local newest_ = 0;
};

/// What a hand-written listener keeps: it can be seen once it is committed, and nothing fences it.
class ListenerState {
 public:
  explicit ListenerState(Observer& observer) : observer_(observer) {}
  void expect(const std::string& transaction) { expected_.insert(transaction); }
  void commit(const std::string& transaction);
  bool is_committed(const std::string& transaction) const {
    return committed_.contains(transaction);
  }
  void tell_truth();

 private:
  Observer& observer_;
  std::set<std::string> expected_{};
  std::set<std::string> committed_{};
};

}  // namespace tally::simulation
