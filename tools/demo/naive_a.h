#pragma once
// The demo's naive producer: a second instance of it answers checks, in the scenario's own process.

#include <functional>
#include <memory>
#include <string>
#include <tally/sqlite.hpp>

#include "protocol/net/client.h"
#include "tools/demo/plan.h"

namespace tally::demo {

std::string naive_transaction_id(TransferId id);

/// Answers checks from the database of service A: row found, COMMIT; no row, ROLLBACK at once.
class NaiveChecker {
 public:
  /// `on_answered` is called on the network thread once the broker took the answer.
  NaiveChecker(const std::string& broker, sqlite::Database database,
               std::function<void(TransferId)> on_answered);

 private:
  void answer(const CheckRequest& check);
  sqlite::Database database_;
  std::function<void(TransferId)> on_answered_;
  std::unique_ptr<net::Client> client_;
};

}  // namespace tally::demo
