#include "tools/demo/bank.h"

#include <nlohmann/json.hpp>

namespace tally::demo {

Result<sqlite::Database> open_bank(const std::string& path, std::int64_t balance) {
  TALLY_TRY(sqlite::Database database, sqlite::Database::open(path));
  TALLY_TRY_VOID(database.execute(
      "create table if not exists accounts (id integer primary key, balance integer not null)"));
  TALLY_TRY_VOID(database.execute(
      "create table if not exists transfers (id integer primary key, amount integer not null)"));
  TALLY_TRY_VOID(database.execute(
      "with recursive ids(id) as (select 0 union all select id + 1 from ids where id < ?) "
      "insert or ignore into accounts select id, ? from ids",
      kAccounts - 1, balance));
  return database;
}

Result<Books> read_books(sqlite::Database& database) {
  TALLY_TRY(sqlite::Rows rows, database.query("select (select sum(balance) from accounts), "
                                              "(select count(*) from transfers)"));
  return Books{.money = rows.at(0).integer(0), .transfers = rows.at(0).integer(1)};
}

std::string transfer_body(TransferId id) {
  return nlohmann::ordered_json{
      {"transfer", id}, {"account", account_of(id)}, {"amount", amount_of(id)}}
      .dump();
}

TransferId transfer_of(const std::string& body) {
  return nlohmann::json::parse(body).at("transfer").get<TransferId>();
}

}  // namespace tally::demo
