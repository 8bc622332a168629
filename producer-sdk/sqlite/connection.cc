#include "producer-sdk/sqlite/connection.h"

#include <algorithm>
#include <limits>
#include <type_traits>

namespace tally::sqlite {
namespace {

struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

int bind(sqlite3_stmt* statement, int index, const Binding& binding) {
  return std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        // The bytes outlive the statement, so SQLite need not copy them (nullptr: SQLITE_STATIC).
        if constexpr (std::is_same_v<T, std::int64_t>) {
          return sqlite3_bind_int64(statement, index, value);
        } else if constexpr (std::is_same_v<T, double>) {
          return sqlite3_bind_double(statement, index, value);
        } else if constexpr (std::is_same_v<T, std::string_view>) {
          // An empty view may have no address, which SQLite would take for NULL.
          return sqlite3_bind_text64(statement, index, value.empty() ? "" : value.data(),
                                     value.size(), nullptr, SQLITE_UTF8);
        } else if constexpr (std::is_same_v<T, Blob>) {
          return sqlite3_bind_blob64(statement, index,
                                     value.bytes.empty() ? "" : value.bytes.data(),
                                     value.bytes.size(), nullptr);
        } else {
          return sqlite3_bind_null(statement, index);
        }
      },
      binding.value());
}

Row::Cell read_cell(sqlite3_stmt* statement, int column) {
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
      return std::int64_t{sqlite3_column_int64(statement, column)};
    case SQLITE_FLOAT:
      return sqlite3_column_double(statement, column);
    case SQLITE_NULL:
      return std::monostate{};
    default: {
      const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement, column));
      const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement, column));
      return bytes == nullptr ? std::string() : std::string(bytes, size);
    }
  }
}

Row read_row(sqlite3_stmt* statement) {
  const int columns = sqlite3_column_count(statement);
  std::vector<Row::Cell> cells;
  cells.reserve(static_cast<std::size_t>(columns));
  for (int column = 0; column < columns; ++column) cells.push_back(read_cell(statement, column));
  return Row(std::move(cells));
}

bool is_blank(std::string_view sql) { return sql.find_first_not_of(" \t\r\n;") == sql.npos; }

int authorize(void*, int action, const char* first, const char* second, const char*, const char*) {
  if (action == SQLITE_TRANSACTION) return SQLITE_DENY;
  if (action == SQLITE_PRAGMA && second != nullptr &&
      (sqlite3_stricmp(first, "synchronous") == 0 || sqlite3_stricmp(first, "journal_mode") == 0)) {
    return SQLITE_DENY;
  }
  return SQLITE_OK;
}

}  // namespace

Result<std::unique_ptr<Connection>> Connection::open(const std::string& path,
                                                     std::int64_t busy_ms) {
  sqlite3* handle = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  if (handle == nullptr) return Error(ErrorCode::kDatabase, "SQLite has no memory");
  std::unique_ptr<Connection> connection(new Connection(handle));
  if (code != SQLITE_OK) return connection->last_error("cannot open " + path);
  sqlite3_extended_result_codes(handle, 1);
  connection->set_busy_ms(busy_ms);
  // Changing the mode needs the database for itself, so it is asked for once in a database's life.
  TALLY_TRY(const Rows mode, connection->run("pragma journal_mode"));
  if (mode.empty() || mode.front().text(0) != "wal") {
    TALLY_TRY_VOID(connection->run("pragma journal_mode = wal"));
  }
  TALLY_TRY_VOID(connection->run("pragma synchronous = full"));
  TALLY_TRY_VOID(connection->check_durability());
  return connection;
}

Result<Rows> Connection::run(std::string_view sql, std::span<const Binding> bindings) {
  if (sql.size() > std::numeric_limits<int>::max()) {
    return Error(ErrorCode::kInvalidArgument, "the statement is too long");
  }
  sqlite3_stmt* prepared = nullptr;
  const char* tail = nullptr;
  if (sqlite3_prepare_v2(handle_.get(), sql.data(), static_cast<int>(sql.size()), &prepared,
                         &tail) != SQLITE_OK) {
    return last_error(sql);
  }
  const Statement statement(prepared);
  if (statement == nullptr || !is_blank({tail, sql.data() + sql.size()})) {
    return Error(ErrorCode::kInvalidArgument, "give exactly one statement: " + std::string(sql));
  }
  const auto wanted = static_cast<std::size_t>(sqlite3_bind_parameter_count(prepared));
  if (wanted != bindings.size()) {
    return Error(ErrorCode::kInvalidArgument, std::to_string(bindings.size()) + " values for " +
                                                  std::to_string(wanted) +
                                                  " parameters: " + std::string(sql));
  }
  for (std::size_t i = 0; i < bindings.size(); ++i) {
    if (!bindings[i].fits()) {
      return Error(ErrorCode::kOutOfRange,
                   "value " + std::to_string(i + 1) +
                       " does not fit into 64 signed bits: " + std::string(sql));
    }
    if (bind(prepared, static_cast<int>(i + 1), bindings[i]) != SQLITE_OK) return last_error(sql);
  }
  Rows rows;
  while (true) {
    const int code = sqlite3_step(prepared);
    if (code == SQLITE_DONE) return rows;
    if (code != SQLITE_ROW) return last_error(sql);
    rows.push_back(read_row(prepared));
  }
}

Result<void> Connection::begin(std::int64_t busy_ms) {
  set_busy_ms(busy_ms);
  TALLY_TRY_VOID(run("begin immediate"));
  return {};
}

Result<void> Connection::commit() {
  // Some errors end a transaction by themselves; a COMMIT after that would report success.
  if (sqlite3_get_autocommit(handle_.get()) != 0) {
    return Error(ErrorCode::kDatabase, "SQLite has rolled the transaction back");
  }
  TALLY_TRY_VOID(run("commit"));
  return {};
}

void Connection::roll_back() {
  if (sqlite3_get_autocommit(handle_.get()) == 0) static_cast<void>(run("rollback"));
}

void Connection::restrict_statements(bool restrict) {
  sqlite3_set_authorizer(handle_.get(), restrict ? &authorize : nullptr, nullptr);
}

Result<void> Connection::check_durability() {
  TALLY_TRY(const Rows mode, run("pragma journal_mode"));
  TALLY_TRY(const Rows synchronous, run("pragma synchronous"));
  const bool wal = !mode.empty() && mode.front().text(0) == "wal";
  const bool full = !synchronous.empty() && synchronous.front().integer(0) >= 2;
  if (wal && full) return {};
  return Error(ErrorCode::kDatabaseNotDurable,
               wal ? "SQLite refuses synchronous=FULL"
                   : "SQLite cannot use its write-ahead log for this database");
}

void Connection::set_busy_ms(std::int64_t busy_ms) {
  sqlite3_busy_timeout(handle_.get(),
                       static_cast<int>(std::clamp<std::int64_t>(busy_ms, 0, 3'600'000)));
}

std::int64_t Connection::changes() const { return sqlite3_changes64(handle_.get()); }

Error Connection::last_error(std::string_view what) const {
  const int code = sqlite3_extended_errcode(handle_.get()) & 0xFF;
  const bool busy = code == SQLITE_BUSY || code == SQLITE_LOCKED;
  return Error(busy ? ErrorCode::kDatabaseBusy : ErrorCode::kDatabase,
               std::string(sqlite3_errmsg(handle_.get())) + " (" + std::string(what) + ")");
}

}  // namespace tally::sqlite
