#pragma once
// SQLite databases for Tally's transactions.
//
//   auto db = tally::sqlite::Database::open("orders.db").value();
//   db.execute("create table if not exists orders (id integer primary key, state text)").value();
//
// Database is a handle: copies are cheap and mean the same database. A producer's attach() and a consumer's
// subscribe_in() keep such a copy.

#include <array>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tally/database.hpp>
#include <variant>
#include <vector>

namespace tally::sqlite {

class Connection;

/// Bytes for a `?`, stored as BLOB. A view: the bytes are read during the call.
struct Blob {
  std::string_view bytes{};
};

/// One value for a `?`: an integer, a floating-point number, text, a Blob, nullptr, or an optional of these.
class Binding {
 public:
  Binding(std::nullptr_t) {}
  Binding(std::nullopt_t) {}
  template <std::integral T>
  Binding(T value)
      : value_(static_cast<std::int64_t>(value)), fits_(std::in_range<std::int64_t>(value)) {}
  Binding(bool value) : value_(std::int64_t{value}) {}
  template <std::floating_point T>
  Binding(T value) : value_(static_cast<double>(value)) {}
  Binding(const char* text) : value_(std::string_view(text)) {}
  Binding(std::string_view text) : value_(text) {}
  Binding(const std::string& text) : value_(std::string_view(text)) {}
  Binding(Blob blob) : value_(blob) {}
  template <typename T>
  Binding(const std::optional<T>& value) {
    if (value) *this = Binding(*value);
  }

  using Value = std::variant<std::monostate, std::int64_t, double, std::string_view, Blob>;
  const Value& value() const { return value_; }
  /// False for an unsigned number above what SQLite can hold.
  bool fits() const { return fits_; }

 private:
  Value value_{};
  bool fits_ = true;
};

/// One row of an answer. A column that is missing, NULL or of another type reads as 0 or empty.
class Row {
 public:
  using Cell = std::variant<std::monostate, std::int64_t, double, std::string>;
  explicit Row(std::vector<Cell> cells) : cells_(std::move(cells)) {}

  std::size_t columns() const { return cells_.size(); }
  bool is_null(std::size_t column) const;
  std::int64_t integer(std::size_t column) const;
  double real(std::size_t column) const;            ///< integers too
  std::string_view text(std::size_t column) const;  ///< text or bytes, valid as long as the row

 private:
  const Cell* cell(std::size_t column) const;
  std::vector<Cell> cells_;
};

/// All rows of an answer, held in memory.
using Rows = std::vector<Row>;

/// The open transaction that the user's work gets. Use it on that thread, during the work only.
///
/// The first error sticks: from then on every call does nothing and answers no rows, and the transaction is rolled back,
/// whatever the work returns. BEGIN, COMMIT and ROLLBACK are refused: ending it is Tally's part.
class Transaction final : public LocalTransaction {
 public:
  explicit Transaction(Connection& connection) : connection_(connection) {}
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  /// Runs one statement.
  template <typename... Args>
  void execute(std::string_view sql, const Args&... args) {
    run(sql, std::array<Binding, sizeof...(Args)>{Binding(args)...});
  }
  /// Runs one statement and gives its rows.
  template <typename... Args>
  Rows query(std::string_view sql, const Args&... args) {
    return run(sql, std::array<Binding, sizeof...(Args)>{Binding(args)...});
  }
  /// Rows that the last insert, update or delete changed.
  std::int64_t changes() const;
  const std::optional<Error>& first_error() const override { return error_; }

 private:
  Rows run(std::string_view sql, std::span<const Binding> bindings);

  Connection& connection_;
  std::optional<Error> error_{};
};

struct OpenOptions {
  /// How long a transaction waits for the database's write lock before it fails with DATABASE_BUSY.
  std::chrono::milliseconds busy{5'000};
  /// How long a check-back waits for it before it answers UNKNOWN.
  std::chrono::milliseconds check_busy{250};
};

/// A SQLite database file with Tally's tables (tally_store, tally_barrier, tally_inbox) in it.
///
/// Operation: WAL mode, synchronous=FULL, on each of its connections; other programs may use the file at the same time.
/// Writers of one Database take turns without polling, checks first. The barrier is described in producer-sdk/README.md.
/// Concurrency: thread-safe; each call uses a connection of its own and at most eight idle ones are kept.
/// Limits: SQLite has one writer at a time; waiting is limited by OpenOptions.
class Database : public DatabaseAdapter {
 public:
  using Transaction = sqlite::Transaction;

  /// Opens or creates the file and its Tally tables. Errors: DATABASE_ERROR, DATABASE_BUSY, DATABASE_NOT_DURABLE (a
  /// database in memory, or on a file system without WAL), DATA_FORMAT (tables of a newer version).
  static Result<Database> open(const std::string& path, OpenOptions options = {});

  /// One statement, outside of the user's transactions, committed when it returns.
  template <typename... Args>
  Result<void> execute(std::string_view sql, const Args&... args) {
    auto rows = run_alone(sql, std::array<Binding, sizeof...(Args)>{Binding(args)...});
    return rows ? Result<void>{} : Result<void>(std::move(rows).error());
  }
  template <typename... Args>
  Result<Rows> query(std::string_view sql, const Args&... args) {
    return run_alone(sql, std::array<Binding, sizeof...(Args)>{Binding(args)...});
  }

  StoreId store_id() const override;
  std::string name() const override;
  Result<void> check_durability() override;
  LocalOutcome run(std::string_view transaction, const Handle& handle, std::int64_t deadline_ms,
                   const LocalWork& work) override;
  CheckVerdict check(std::string_view transaction, const Handle& handle) override;
  Result<void> forget(const std::vector<std::string>& transactions,
                      std::int64_t before_ms) override;
  Result<std::vector<BarrierRow>> barrier_rows(const BarrierQuery& query) override;
  Result<bool> run_once(std::string_view group, const MessageUid& message,
                        const LocalWork& work) override;

 private:
  class State;
  explicit Database(std::shared_ptr<State> state) : state_(std::move(state)) {}
  Result<Rows> run_alone(std::string_view sql, std::span<const Binding> bindings);

  std::shared_ptr<State> state_;
};

}  // namespace tally::sqlite
