// What an operator can do about an open transaction but end it.

#include "tools/tally/command.h"

namespace tally::cli {
namespace {

int manage(const Invocation& invocation, TransactionAction action) {
  ManageTransactionRequest request{.transaction = invocation.text("ID"), .action = action};
  if (action != TransactionAction::kCheck) request.reason = invocation.text("reason");
  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  auto answer = broker->ask<ManageTransactionResponse>(request);
  if (!answer) return invocation.fail(answer.error());
  if (invocation.json()) {
    Json line = Json::object();
    set_bytes(line, "id", request.transaction);
    line["state"] = name(answer->state);
    line["next_check_at_ms"] = answer->next_check_at_ms;
    line["checkers"] = answer->checkers;
    print_line(line);
    return kExitOk;
  }
  const std::string checkers =
      answer->checkers == 0 ? ", nobody is connected who could answer a check" : "";
  const std::string next =
      answer->next_check_at_ms == 0 ? "" : ", next check " + time_text(answer->next_check_at_ms);
  std::printf("%s %s%s%s\n", request.transaction.c_str(), std::string(name(answer->state)).c_str(),
              next.c_str(), checkers.c_str());
  return kExitOk;
}

void reason_option(cxxopts::OptionAdder& add) {
  add("reason", "recorded in the log", cxxopts::value<std::string>(), "TEXT");
}

}  // namespace

std::vector<Command> transaction_admin() {
  return {
      {"txn check",
       "ID",
       "Asks the producer group now, instead of when the next check is due.",
       "tally txn check order-42",
       {},
       [](const Invocation& invocation) { return manage(invocation, TransactionAction::kCheck); }},
      {"txn park", "ID",
       "Stops the checks of a transaction; it stays until it is ended or resumed.",
       "tally txn park order-42 --reason 'database is being restored'", reason_option,
       [](const Invocation& invocation) { return manage(invocation, TransactionAction::kPark); }},
      {"txn resume", "ID",
       "Asks a parked transaction's producer group again, from the first check.",
       "tally txn resume order-42 --reason 'database is back'", reason_option,
       [](const Invocation& invocation) { return manage(invocation, TransactionAction::kResume); }},
  };
}

}  // namespace tally::cli
