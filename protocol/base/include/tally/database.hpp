#pragma once
// What the SDKs need from a database adapter. Users meet it only through adapters such as
// tally::sqlite::Database.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <tally/error.hpp>
#include <tally/ids.hpp>
#include <tally/result.hpp>
#include <vector>

namespace tally {

/// An open local transaction. Adapters derive from it and add statements; it lives during the
/// user's work only.
class LocalTransaction {
 public:
  virtual ~LocalTransaction() = default;
  /// The first error of a statement, which forces rollback; nothing when all went well.
  virtual const std::optional<Error>& first_error() const = 0;
};

/// The user's work inside a local transaction. kCommit commits it; kRollback, an error or an
/// exception roll it back.
using LocalWork = std::function<Result<Decision>(LocalTransaction&)>;

/// How a local transaction ended.
struct LocalOutcome {
  enum class Kind : std::uint8_t {
    kCommitted,         ///< durable
    kRolledBack,        ///< by the work, an error, a tombstone, or the deadline: see `cause`
    kAlreadyCommitted,  ///< the barrier row of this id stands already with C: the work was not run
    kUnknown,           ///< the commit's outcome could not be learned
  };
  Kind kind{};
  /// Why it was rolled back or is unknown; nothing when the work said kRollback.
  std::optional<Error> cause{};
  /// The barrier row that decided stands under another handle: an earlier half of the same id.
  bool other_half{};
};

/// Answer of a database to a check.
struct CheckVerdict {
  Decision decision{};
  std::string
      reason{};  ///< for people: "row found", "tombstone written", "row locked: still running"
};

/// Which barrier rows are asked for: those of one log, written before a time, oldest first.
struct BarrierQuery {
  LogId log{};                 ///< of their handles
  std::int64_t before_ms = 0;  ///< Unix epoch, by the database's clock
  std::int64_t after_ms = 0;   ///< page: only rows behind this time and id
  std::string after{};
  std::uint32_t limit = 1;
};
struct BarrierRow {
  std::string transaction{};
  std::int64_t written_at_ms = 0;
  std::int64_t age_ms = 0;  ///< by the database's own clock, now
};

/// One database. Thread-safe; each call uses a connection of its own for its duration.
class DatabaseAdapter {
 public:
  virtual ~DatabaseAdapter() = default;

  /// Random identity written by migrate().
  virtual StoreId store_id() const = 0;
  /// For people and logs.
  virtual std::string name() const = 0;
  /// Verifies that commits are durable, or sets it. Error: DATABASE_NOT_DURABLE.
  virtual Result<void> check_durability() = 0;

  /// Runs `work` in one transaction whose first statement inserts the barrier row (transaction id,
  /// handle, 'C') if the database's clock is before `deadline_ms` (Unix epoch). Never throws.
  virtual LocalOutcome run(std::string_view transaction, const Handle& handle,
                           std::int64_t deadline_ms, const LocalWork& work) = 0;
  /// Answers a check: inserts the tombstone (transaction id, handle, 'R') or reads the letter that
  /// is there.
  virtual CheckVerdict check(std::string_view transaction, const Handle& handle) = 0;
  /// Removes the barrier rows of these transactions that were written before `before_ms`: a newer
  /// one belongs to a later transaction of the same id.
  virtual Result<void> forget(const std::vector<std::string>& transactions,
                              std::int64_t before_ms) = 0;
  /// By time, then id: candidates for forget().
  virtual Result<std::vector<BarrierRow>> barrier_rows(const BarrierQuery& query) = 0;

  /// Runs `work` in one transaction together with the inbox row (group, message uid), unless that
  /// row is there already. Value: true when the work ran and committed, false when the message was
  /// handled before. Error: rolled back or unknown.
  virtual Result<bool> run_once(std::string_view group, const MessageUid& message,
                                const LocalWork& work) = 0;
};

}  // namespace tally
