#include <exception>
#include <limits>

#include "producer-sdk/sqlite/database_state.h"
#include "protocol/base/seeded_bug.h"

namespace tally::sqlite {
namespace {

// SQLite's clock in milliseconds since the Unix epoch, the same during one statement.
#define TALLY_SQLITE_NOW_MS "cast((julianday('now') - 2440587.5) * 86400000 as integer)"

std::int64_t as_column(Lsn lsn) { return static_cast<std::int64_t>(lsn.value); }

struct Standing {
  char letter{};
  bool same_half{};
};

Result<std::optional<Standing>> read_letter(Connection& connection, std::string_view transaction,
                                            const Handle& handle) {
  TALLY_TRY(const Rows rows,
            connection.run("select letter, log_id = ? and lsn = ? from tally_barrier"
                           " where transaction_id = ?",
                           Blob{handle.log.view()}, as_column(handle.lsn), Blob{transaction}));
  if (rows.empty()) return std::optional<Standing>();
  const std::string_view letter = rows.front().text(0);
  return std::optional(
      Standing{letter.empty() ? 'R' : letter.front(), rows.front().integer(1) != 0});
}

/// Value: true when the row was inserted, false when the deadline is over.
Result<bool> insert_letter(Connection& connection, std::string_view transaction,
                           const Handle& handle, char letter, std::int64_t deadline_ms) {
  TALLY_TRY_VOID(connection.run(
      "insert into tally_barrier"
      " select ?, ?, ?, ?, ?, now from (select " TALLY_SQLITE_NOW_MS " as now) where now < ?",
      Blob{transaction}, Blob{handle.log.view()}, as_column(handle.lsn), handle.time_ms,
      std::string_view(&letter, 1), deadline_ms));
  return connection.changes() == 1;
}

constexpr std::int64_t kNoDeadline = std::numeric_limits<std::int64_t>::max();

LocalOutcome rolled_back(std::optional<Error> cause) {
  return {.kind = LocalOutcome::Kind::kRolledBack, .cause = std::move(cause)};
}

LocalOutcome outcome_of(const Standing& standing) {
  if (standing.letter == 'C') {
    return {.kind = LocalOutcome::Kind::kAlreadyCommitted, .other_half = !standing.same_half};
  }
  LocalOutcome outcome = rolled_back(Error(
      ErrorCode::kTransactionEnded, "a check-back decided rollback before the local transaction"));
  outcome.other_half = !standing.same_half;
  return outcome;
}

CheckVerdict verdict_of(const Standing& standing) {
  // A row of another half shuts this half out for ever: the key is unique.
  if (!standing.same_half) return {Decision::kRollback, "the id stands for another half"};
  if (standing.letter == 'C') return {Decision::kCommit, "barrier row found"};
  return {Decision::kRollback, "tombstone found"};
}

/// Runs the work and says what it wants; an error of a statement or an exception is a rollback with that cause.
Result<Decision> run_work(Connection& connection, const LocalWork& work) {
  Transaction transaction(connection);
  connection.restrict_statements(true);
  Result<Decision> wanted = [&]() -> Result<Decision> {
    try {
      return work(transaction);
    } catch (const Exception& exception) {
      return exception.error();
    } catch (const std::exception& exception) {
      return Error(ErrorCode::kHandlerFailed, exception.what());
    } catch (...) {
      return Error(ErrorCode::kHandlerFailed, "the work threw something that is no std::exception");
    }
  }();
  connection.restrict_statements(false);
  if (transaction.first_error()) return *transaction.first_error();
  return wanted;
}

}  // namespace

Result<Database> Database::open(const std::string& path, OpenOptions options) {
  auto state = std::make_shared<State>(path, options);
  TALLY_TRY_VOID(state->migrate());
  return Database(std::move(state));
}

Result<Rows> Database::run_alone(std::string_view sql, std::span<const Binding> bindings) {
  TALLY_TRY(const State::Lease lease, state_->lease());
  lease->restrict_statements(true);
  auto rows = lease->run(sql, bindings);
  lease->restrict_statements(false);
  return rows;
}

StoreId Database::store_id() const { return state_->store_id(); }

std::string Database::name() const { return state_->path(); }

Result<void> Database::check_durability() {
  TALLY_TRY(const State::Lease lease, state_->lease());
  return lease->check_durability();
}

LocalOutcome Database::run(std::string_view transaction, const Handle& handle,
                           std::int64_t deadline_ms, const LocalWork& work) {
  {
    auto writer = state_->begin(WriteGate::Kind::kTransaction);
    if (!writer) return rolled_back(std::move(writer).error());
    auto standing = read_letter(**writer, transaction, handle);
    if (!standing) return rolled_back(std::move(standing).error());
    if (*standing) return outcome_of(**standing);
    auto inserted = insert_letter(**writer, transaction, handle, 'C', deadline_ms);
    if (!inserted) return rolled_back(std::move(inserted).error());
    if (!*inserted) {
      return rolled_back(Error(ErrorCode::kDeadlineExceeded,
                               "the database's clock is past the transaction's lifetime"));
    }
    auto wanted = run_work(**writer, work);
    if (!wanted) return rolled_back(std::move(wanted).error());
    if (*wanted != Decision::kCommit) return rolled_back(std::nullopt);
    if (writer->commit()) return {.kind = LocalOutcome::Kind::kCommitted};
  }
  // The COMMIT failed. Its bytes may stand in the write-ahead log and come back to life with the next recovery,
  // so a missing row proves nothing. Writing the tombstone does: it takes their place, or finds the row.
  const CheckVerdict verdict = check(transaction, handle);
  switch (verdict.decision) {
    case Decision::kCommit:
      return {.kind = LocalOutcome::Kind::kCommitted};
    case Decision::kRollback:
      return rolled_back(Error(ErrorCode::kDatabase, "COMMIT failed; nothing was changed"));
    case Decision::kUnknown:
      break;
  }
  return {.kind = LocalOutcome::Kind::kUnknown,
          .cause = Error(ErrorCode::kDatabaseOutcomeUnknown,
                         "COMMIT failed and its outcome cannot be read: " + verdict.reason)};
}

CheckVerdict Database::check(std::string_view transaction, const Handle& handle) {
  const auto unknown = [](const Error& error) {
    return CheckVerdict{Decision::kUnknown, to_string(error)};
  };
  // Most checks find the row, and reading takes no lock. A row that can be seen is durable: SQLite shows a commit
  // after the sync of its write-ahead log.
  {
    auto reader = state_->lease();
    if (!reader) return unknown(reader.error());
    auto standing = read_letter(**reader, transaction, handle);
    if (!standing) return unknown(standing.error());
    if (*standing) return verdict_of(**standing);
  }
  if (TALLY_SEEDED_BUG("rollback_for_a_row_not_visible_yet")) return {Decision::kRollback, {}};
  auto writer = state_->begin(WriteGate::Kind::kCheck);
  if (!writer) return unknown(writer.error());
  auto standing = read_letter(**writer, transaction, handle);
  if (!standing) return unknown(standing.error());
  if (*standing) return verdict_of(**standing);
  auto inserted = insert_letter(**writer, transaction, handle, 'R', kNoDeadline);
  if (!inserted) return unknown(inserted.error());
  if (auto committed = writer->commit(); !committed) return unknown(committed.error());
  return {Decision::kRollback, "no barrier row: tombstone written"};
}

Result<void> Database::forget(const std::vector<std::string>& transactions,
                              std::int64_t before_ms) {
  TALLY_TRY(State::Writer writer, state_->begin(WriteGate::Kind::kTransaction));
  for (const std::string& transaction : transactions) {
    TALLY_TRY_VOID(
        writer->run("delete from tally_barrier where transaction_id = ? and written_at_ms < ?",
                    Blob{transaction}, before_ms));
  }
  return writer.commit();
}

Result<std::vector<BarrierRow>> Database::barrier_rows(const BarrierQuery& query) {
  TALLY_TRY(const State::Lease lease, state_->lease());
  TALLY_TRY(const Rows found,
            lease->run("select transaction_id, written_at_ms, " TALLY_SQLITE_NOW_MS
                       " - written_at_ms from tally_barrier"
                       " where log_id = ? and written_at_ms < ?"
                       " and (written_at_ms, transaction_id) > (?, ?)"
                       " order by written_at_ms, transaction_id limit ?",
                       Blob{query.log.view()}, query.before_ms, query.after_ms, Blob{query.after},
                       query.limit));
  std::vector<BarrierRow> rows;
  rows.reserve(found.size());
  for (const Row& row : found)
    rows.push_back({std::string(row.text(0)), row.integer(1), row.integer(2)});
  return rows;
}

Result<bool> Database::run_once(std::string_view group, const MessageUid& message,
                                const LocalWork& work) {
  const auto is_there = [&](Connection& connection) -> Result<bool> {
    TALLY_TRY(const Rows rows,
              connection.run("select 1 from tally_inbox where consumer_group = ?"
                             " and log_id = ? and lsn = ?",
                             group, Blob{message.log.view()}, as_column(message.lsn)));
    return !rows.empty();
  };
  {
    TALLY_TRY(State::Writer writer, state_->begin(WriteGate::Kind::kTransaction));
    TALLY_TRY(const bool handled_before, is_there(*writer));
    if (handled_before) return false;
    TALLY_TRY_VOID(writer->run("insert into tally_inbox select ?, ?, ?, " TALLY_SQLITE_NOW_MS,
                               group, Blob{message.log.view()}, as_column(message.lsn)));
    TALLY_TRY(const Decision wanted, run_work(*writer, work));
    if (wanted != Decision::kCommit) {
      return Error(ErrorCode::kHandlerFailed, "the handler asked for rollback");
    }
    if (writer.commit()) return true;
  }
  TALLY_TRY(const State::Lease fresh, state_->lease());
  const auto found = is_there(*fresh);
  if (found && *found) return true;
  return Error(ErrorCode::kDatabaseOutcomeUnknown, "COMMIT failed and its outcome cannot be read");
}

}  // namespace tally::sqlite
