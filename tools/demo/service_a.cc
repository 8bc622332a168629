// Service A: takes money out of its database and tells service B, in one transaction. Dies where the plan says.

#include <unistd.h>

#include <optional>
#include <tally/producer.hpp>

#include "tools/demo/bank.h"
#include "tools/demo/service.h"

namespace tally::demo {
namespace {

/// The database of service A, with a place to die between its commit and the END that follows.
class MortalDatabase final : public sqlite::Database {
 public:
  explicit MortalDatabase(sqlite::Database database) : sqlite::Database(std::move(database)) {}
  LocalOutcome run(std::string_view transaction, const Handle& handle, std::int64_t deadline_ms,
                   const LocalWork& work) override {
    LocalOutcome outcome = sqlite::Database::run(transaction, handle, deadline_ms, work);
    if (dies_after_commit) die();
    return outcome;
  }
  bool dies_after_commit = false;
};

Decision take_money(sqlite::Transaction& tx, TransferId id, std::optional<Step> death) {
  if (death == Step::kBeforeInsert) die();
  tx.execute(kTakeSql, amount_of(id), account_of(id));
  tx.execute(kNoteSql, id, amount_of(id));
  if (is_refused(id)) return Decision::kRollback;
  if (death == Step::kBeforeCommit) die();
  return Decision::kCommit;
}

const char* text(TransactionOutcome outcome) {
  switch (outcome) {
    case TransactionOutcome::kCommitted:
      return "committed";
    case TransactionOutcome::kRolledBack:
      return "rolled-back";
    case TransactionOutcome::kInDoubt:
      return "in-doubt";
  }
  return "";
}

}  // namespace

int run_service_a(const ServiceOptions& options) {
  MortalDatabase database(open_bank(path_a(options.folder), kBalanceOfA).value());
  auto producer =
      Producer::connect({.broker = options.broker, .group = kProducerGroup, .client = "service-a"})
          .value();
  producer.attach(database).value();
  for (TransferId id = options.from; id <= options.to; ++id) {
    auto planned = options.plan.deaths_of_a.find(id);
    std::optional<Step> death;
    if (planned != options.plan.deaths_of_a.end()) death = planned->second;
    say("begin " + std::to_string(id));
    database.dies_after_commit = death == Step::kAfterCommit;
    auto moved = producer.in_transaction(
        database, {.topic = kTopic, .key = std::to_string(id), .body = transfer_body(id)},
        [&](sqlite::Transaction& tx) { return take_money(tx, id, death); });
    if (!moved) {
      say("end " + std::to_string(id) + " failed " + to_string(moved.error()));
      continue;
    }
    if (death == Step::kAfterEnd) {
      producer.wait(moved->id).value();
      die();
    }
    say("end " + std::to_string(id) + " " + text(moved->outcome));
  }
  // The transfers are done; the service lives on and answers checks until the scenario ends it.
  say("done");
  pause();
  return 0;
}

}  // namespace tally::demo
