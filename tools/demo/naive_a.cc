// What a producer without the barrier does, for the demo only: it answers a check by looking for the row, and says ROLLBACK
// when there is none. A transaction that has not committed yet looks exactly like one that never will.

#include "tools/demo/naive_a.h"

#include <sqlite3.h>

#include <csignal>
#include <tally/message.hpp>

#include "protocol/base/clock.h"
#include "protocol/base/message_block.h"
#include "protocol/base/random.h"
#include "tools/demo/bank.h"
#include "tools/demo/service.h"

namespace tally::demo {
namespace {

constexpr std::int64_t kTimeoutMs = 30'000;

void run_sql(sqlite3* database, const std::string& sql) {
  char* message = nullptr;
  if (sqlite3_exec(database, sql.c_str(), nullptr, nullptr, &message) != SQLITE_OK) {
    throw Exception(Error(ErrorCode::kDatabase, message ? message : "SQLite failed"));
  }
}

/// The local transaction, as somebody without an SDK writes it.
void take_money(sqlite3* database, TransferId id, bool stop_before_commit) {
  std::string amount = std::to_string(amount_of(id));
  run_sql(database, "begin immediate");
  run_sql(database, "update accounts set balance = balance - " + amount +
                        " where id = " + std::to_string(account_of(id)));
  run_sql(database, "insert into transfers values (" + std::to_string(id) + ", " + amount + ")");
  if (stop_before_commit) {
    say("stopping " + std::to_string(id));
    raise(SIGSTOP);
  }
  run_sql(database, "commit");
}

}  // namespace

std::string naive_transaction_id(TransferId id) { return "transfer-" + std::to_string(id); }

NaiveChecker::NaiveChecker(const std::string& broker, sqlite::Database database,
                           std::function<void(TransferId)> on_answered)
    : database_(std::move(database)), on_answered_(std::move(on_answered)) {
  net::Client::Callbacks callbacks;
  callbacks.on_check = [this](CheckRequest&& check) { answer(check); };
  net::ClientOptions options;
  options.broker = broker;
  options.hello.client = "naive-a-2";
  client_ = net::Client::start(std::move(options), std::move(callbacks)).value();
  net::ask_and_wait(*client_,
                    RegisterCheckerRequest{.group = kProducerGroup, .stores = {StoreId{}}}, {},
                    kTimeoutMs)
      .value();
}

void NaiveChecker::answer(const CheckRequest& check) {
  auto id = static_cast<TransferId>(std::stoul(check.transaction.substr(sizeof "transfer-" - 1)));
  auto rows = database_.query("select 1 from transfers where id = ?", id);
  Decision decision = rows && !rows->empty() ? Decision::kCommit : Decision::kRollback;
  client_->ask(AnswerCheckRequest{.transaction = check.transaction,
                                  .challenge = check.challenge,
                                  .decision = decision,
                                  .reason = "naive look-up"},
               {}, kTimeoutMs, [this, id](Result<net::Answer>&& done) {
                 if (done) on_answered_(id);
               });
}

int run_naive_a(const ServiceOptions& options) {
  open_bank(path_a(options.folder), kBalanceOfA).value();
  sqlite3* database = nullptr;
  sqlite3_open(path_a(options.folder).c_str(), &database);
  sqlite3_busy_timeout(database, 5'000);
  net::ClientOptions client_options;
  client_options.broker = options.broker;
  client_options.hello.client = "naive-a-1";
  auto client = net::Client::start(std::move(client_options), {}).value();
  for (TransferId id = options.from; id <= options.to; ++id) {
    std::string text = std::to_string(id);
    say("begin " + text);
    std::string block;
    append_message_block({.key = text, .body = transfer_body(id)}, system_clock().wall_ms(), block)
        .value();
    auto prepared = net::ask_and_wait(*client,
                                      PrepareRequest{.topic = kTopic,
                                                     .transaction = naive_transaction_id(id),
                                                     .group = kProducerGroup},
                                      block, kTimeoutMs)
                        .value();
    take_money(database, id, options.plan.stops_of_a.contains(id));
    auto ended =
        net::ask_and_wait(*client,
                          EndRequest{.transaction = naive_transaction_id(id),
                                     .group = kProducerGroup,
                                     .decision = Decision::kCommit,
                                     .handle = std::get<PrepareResponse>(prepared.response).handle,
                                     .messages = 1},
                          {}, kTimeoutMs);
    say("end " + text + (ended ? " committed" : " refused"));
  }
  sqlite3_close(database);
  say("done");
  return 0;
}

}  // namespace tally::demo
