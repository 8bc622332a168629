#pragma once
// The two databases of the demo: a bank's accounts each. Service A moves money out, service B books it in.

#include <cstdint>
#include <string>
#include <tally/result.hpp>
#include <tally/sqlite.hpp>

#include "tools/demo/plan.h"

namespace tally::demo {

inline constexpr const char* kTopic = "transfer";
inline constexpr const char* kProducerGroup = "bank-a";
inline constexpr const char* kConsumerGroup = "bank-b";
inline constexpr int kAccounts = 100;
inline constexpr std::int64_t kBalanceOfA = 10'000;

inline int account_of(TransferId id) { return static_cast<int>(id % kAccounts); }
inline std::string path_a(const std::string& folder) { return folder + "/a.db"; }
inline std::string path_b(const std::string& folder) { return folder + "/b.db"; }

/// Opens, and at the first time fills, a database whose accounts hold `balance` each.
Result<sqlite::Database> open_bank(const std::string& path, std::int64_t balance);

/// What a database says: all its money, and how many transfers stand in it.
struct Books {
  std::int64_t money = 0;
  std::int64_t transfers = 0;
};
Result<Books> read_books(sqlite::Database& database);

/// The message of a transfer, and back.
std::string transfer_body(TransferId id);
TransferId transfer_of(const std::string& body);

/// The statements of a transfer: out of service A's database, into service B's.
inline constexpr const char* kTakeSql = "update accounts set balance = balance - ? where id = ?";
inline constexpr const char* kBookSql = "update accounts set balance = balance + ? where id = ?";
inline constexpr const char* kNoteSql = "insert into transfers values (?, ?)";

}  // namespace tally::demo
