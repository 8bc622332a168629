#pragma once
// One open SQLite connection in the mode that Tally needs: WAL, synchronous=FULL.
//
// Used by one thread at a time. Statements are prepared per call: next to the sync of a commit that costs nothing.

#include <sqlite3.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tally/sqlite.hpp>

namespace tally::sqlite {

class Connection {
 public:
  /// Opens the file and sets the mode. Errors: DATABASE_ERROR, DATABASE_BUSY, DATABASE_NOT_DURABLE.
  static Result<std::unique_ptr<Connection>> open(const std::string& path, std::int64_t busy_ms);

  /// Runs one statement. Errors: DATABASE_BUSY (the lock was not free), DATABASE_ERROR.
  Result<Rows> run(std::string_view sql, std::span<const Binding> bindings = {});
  template <typename... Args>
  Result<Rows> run(std::string_view sql, const Args&... args) {
    return run(sql,
               std::span<const Binding>(std::array<Binding, sizeof...(Args)>{Binding(args)...}));
  }

  /// Takes the write lock, waiting at most `busy_ms`.
  Result<void> begin(std::int64_t busy_ms);
  /// After an error it is not known here whether the transaction stands: throw the connection away and look.
  Result<void> commit();
  void roll_back();

  /// While set, statements are refused that begin or end transactions, or that weaken the mode.
  void restrict_statements(bool restrict);
  /// Verifies WAL and synchronous=FULL. Error: DATABASE_NOT_DURABLE.
  Result<void> check_durability();
  void set_busy_ms(std::int64_t busy_ms);
  std::int64_t changes() const;

 private:
  struct Close {
    void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
  };
  explicit Connection(sqlite3* handle) : handle_(handle) {}
  Error last_error(std::string_view what) const;

  std::unique_ptr<sqlite3, Close> handle_;
};

}  // namespace tally::sqlite
