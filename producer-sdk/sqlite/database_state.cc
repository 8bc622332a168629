#include "producer-sdk/sqlite/database_state.h"

#include <algorithm>

#include "protocol/base/random.h"

namespace tally::sqlite {
namespace {

constexpr std::string_view kTables[] = {
    "create table if not exists tally_store ("
    " one integer primary key check (one = 1), id blob not null check (length(id) = 16),"
    " version integer not null)",
    "create table if not exists tally_barrier ("
    " transaction_id blob primary key, log_id blob not null, lsn integer not null,"
    " half_time_ms integer not null, letter text not null check (letter in ('C', 'R')),"
    " written_at_ms integer not null) without rowid",
    "create index if not exists tally_barrier_by_time on tally_barrier (written_at_ms)",
    "create table if not exists tally_inbox ("
    " consumer_group text not null, log_id blob not null, lsn integer not null,"
    " handled_at_ms integer not null, primary key (consumer_group, log_id, lsn)) without rowid",
};

}  // namespace

Result<void> Database::State::migrate() {
  TALLY_TRY(const Lease reader, lease());
  TALLY_TRY(const bool present, read_identity(*reader));
  if (present) return {};
  TALLY_TRY(Writer writer, begin(WriteGate::Kind::kTransaction));
  for (const std::string_view table : kTables) TALLY_TRY_VOID(writer->run(table));
  const StoreId id = random_store_id();
  TALLY_TRY_VOID(writer->run("insert or ignore into tally_store values (1, ?, ?)", Blob{id.view()},
                             kSchemaVersion));
  TALLY_TRY_VOID(writer.commit());
  TALLY_TRY_VOID(read_identity(*reader));
  return {};
}

Result<bool> Database::State::read_identity(Connection& connection) {
  TALLY_TRY(const Rows table,
            connection.run("select 1 from sqlite_schema where name = 'tally_store'"));
  if (table.empty()) return false;
  TALLY_TRY(const Rows rows, connection.run("select id, version from tally_store"));
  if (rows.empty()) return false;
  if (rows.front().integer(1) != kSchemaVersion) {
    return Error(ErrorCode::kDataFormat, "the Tally tables in " + path_ + " have version " +
                                             std::to_string(rows.front().integer(1)));
  }
  const std::string_view id = rows.front().text(0);
  std::copy_n(id.begin(), std::min(id.size(), store_id_.bytes.size()), store_id_.bytes.begin());
  return true;
}

Result<Database::State::Lease> Database::State::lease() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      Lease lease(*this, std::move(idle_.back()));
      idle_.pop_back();
      return lease;
    }
  }
  TALLY_TRY(auto connection, Connection::open(path_, options_.busy.count()));
  return Lease(*this, std::move(connection));
}

void Database::State::give_back(std::unique_ptr<Connection> connection) {
  const std::lock_guard lock(mutex_);
  if (idle_.size() < kIdleConnectionsMax) idle_.push_back(std::move(connection));
}

Result<Database::State::Writer> Database::State::begin(WriteGate::Kind kind) {
  const std::int64_t busy_ms =
      kind == WriteGate::Kind::kCheck ? options_.check_busy.count() : options_.busy.count();
  TALLY_TRY(Lease leased, lease());
  if (!gate_.enter(kind, busy_ms)) {
    return Error(ErrorCode::kDatabaseBusy, "another transaction of this process is running");
  }
  Writer writer(*this, std::move(leased));
  TALLY_TRY_VOID(writer->begin(busy_ms));
  return writer;
}

Result<void> Database::State::Writer::commit() {
  auto committed = lease_->commit();
  if (!committed) {
    lease_->roll_back();
    lease_.discard();
  }
  end();
  return committed;
}

void Database::State::Writer::end() {
  State* state = std::exchange(state_, nullptr);
  if (state == nullptr) return;
  if (Connection* connection = lease_.get()) connection->roll_back();
  state->gate_.leave();
}

}  // namespace tally::sqlite
