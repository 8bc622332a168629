// txn show and txn list.

#include "tools/tally/command.h"

namespace tally::cli {
namespace {

Json to_json(const CheckRecord& check) {
  Json line = {{"delivered_at_ms", check.delivered_at_ms}, {"client", check.client}};
  if (check.answered_at_ms != 0) {
    line["answered_at_ms"] = check.answered_at_ms;
    line["answer"] = name(check.answer);
    if (!check.reason.empty()) set_bytes(line, "reason", check.reason);
  }
  return line;
}

Json to_json(const TransactionInfo& transaction) {
  Json line = Json::object();
  set_bytes(line, "id", transaction.id);
  line["state"] = name(transaction.state);
  line["group"] = transaction.group;
  line["client"] = transaction.client;
  if (!transaction.store.is_zero()) line["store"] = transaction.store.to_hex();
  line["topics"] = transaction.topics;
  line["messages"] = transaction.messages;
  line["prepared_at_ms"] = transaction.handle.time_ms;
  line["checks"] = transaction.checks;
  if (transaction.decided_by == Decider::kNone) {
    line["next_check_at_ms"] = transaction.next_check_at_ms;
    line["expires_at_ms"] = transaction.expires_at_ms;
  } else {
    line["decided_by"] = name(transaction.decided_by);
    line["decided_by_client"] = transaction.decided_by_client;
    line["decided_at_ms"] = transaction.decided_at_ms;
  }
  if (!transaction.reason.empty()) set_bytes(line, "reason", transaction.reason);
  if (!transaction.check_records.empty()) {
    Json records = Json::array();
    for (const CheckRecord& check : transaction.check_records) records.push_back(to_json(check));
    line["check_records"] = std::move(records);
  }
  return line;
}

void row(const std::string& label, const std::string& value) {
  if (!value.empty()) std::printf("%-12s %s\n", label.c_str(), value.c_str());
}

std::string with_reason(std::string text, const std::string& reason) {
  return reason.empty() ? text : text + ": " + reason;
}

void print_checks(const TransactionInfo& transaction) {
  // Those before it was resumed, and those of a parked one, count for nothing and stand here, too.
  const auto& records = transaction.check_records;
  std::size_t number =
      transaction.checks > records.size() ? transaction.checks - records.size() : 0;
  if (number > 0) row("checks", std::to_string(number) + " earlier ones are no longer listed");
  for (const CheckRecord& check : records) {
    row("check " + std::to_string(++number),
        time_text(check.delivered_at_ms) + " asked " + check.client);
    const bool last = &check == &records.back();
    if (check.answered_at_ms != 0) {
      row("", time_text(check.answered_at_ms) + " answer " +
                  with_reason(std::string(name(check.answer)), check.reason));
    } else if (!last || transaction.state != TransactionState::kPending) {
      row("", "no answer");
    }
  }
}

/// What an operator needs to know, in the order in which it happened.
void print_transaction(const TransactionInfo& transaction, std::uint32_t checkers) {
  std::string topics;
  for (const std::string& topic : transaction.topics)
    topics += (topics.empty() ? " in " : ", ") + topic;
  row("transaction", transaction.id);
  row("state", std::string(name(transaction.state)));
  row("group", transaction.group);
  if (!transaction.store.is_zero()) row("store", transaction.store.to_hex());
  row("messages", std::to_string(transaction.messages) + topics);
  row("prepared", time_text(transaction.handle.time_ms) +
                      (transaction.client.empty() ? "" : " by " + transaction.client));
  print_checks(transaction);
  if (transaction.decided_by != Decider::kNone) {
    std::string by(name(transaction.decided_by));
    if (!transaction.decided_by_client.empty()) by += " (" + transaction.decided_by_client + ")";
    row("decided", time_text(transaction.decided_at_ms) + " " +
                       std::string(name(transaction.state)) + " by " +
                       with_reason(by, transaction.reason));
    return;
  }
  if (transaction.state == TransactionState::kParked) row("parked", transaction.reason);
  if (transaction.next_check_at_ms != 0) row("next check", time_text(transaction.next_check_at_ms));
  row("checkers", checkers == 0 ? "nobody is connected who could answer a check"
                                : std::to_string(checkers) + " connected");
  row("expires", time_text(transaction.expires_at_ms));
}

int show(const Invocation& invocation) {
  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  auto answer = broker->ask<ShowTransactionResponse>(
      ShowTransactionRequest{.transaction = invocation.text("ID")});
  if (!answer) return invocation.fail(answer.error());
  if (invocation.json()) {
    Json line = to_json(answer->transaction);
    line["checkers"] = answer->checkers;
    print_line(line);
  } else {
    print_transaction(answer->transaction, answer->checkers);
  }
  return kExitOk;
}

std::uint32_t parse_state(const std::string& text) {
  if (text.empty()) return 0;
  for (auto state : {TransactionState::kPending, TransactionState::kParked,
                     TransactionState::kCommitted, TransactionState::kRolledBack}) {
    if (text == name(state)) return static_cast<std::uint32_t>(state);
  }
  throw UsageError("--state takes pending, parked, committed or rolled-back");
}

int list(const Invocation& invocation) {
  ListTransactionsRequest page{.state = parse_state(invocation.text("state")),
                               .group = invocation.text("group")};
  if (invocation.options.count("older")) {
    page.older_than_ms = parse_duration_ms(invocation.text("older"));
  }
  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  Table table({"TRANSACTION", "STATE", "GROUP", "PREPARED", "CHECKS", "DECIDED", "BY"});
  for (;;) {
    auto answer = broker->ask<ListTransactionsResponse>(page);
    if (!answer) return invocation.fail(answer.error());
    for (const TransactionInfo& transaction : answer->transactions) {
      if (invocation.json()) {
        print_line(to_json(transaction));
        continue;
      }
      table.add({transaction.id, std::string(name(transaction.state)), transaction.group,
                 time_text(transaction.handle.time_ms), std::to_string(transaction.checks),
                 time_text(transaction.decided_at_ms), std::string(name(transaction.decided_by))});
    }
    if (!answer->more) break;
    page.after = answer->next_after;
  }
  if (!invocation.json()) table.print();
  return kExitOk;
}

}  // namespace

std::vector<Command> transaction_views() {
  return {
      {"txn show",
       "ID",
       "Shows a transaction: who prepared it, who was asked, what was answered, who decided.",
       "tally txn show order-42 -o json",
       {},
       show},
      {"txn list", "", "Lists transactions.",
       "tally txn list --state pending --older 5m\ntally txn list --group shop -o json",
       [](cxxopts::OptionAdder& add) {
         add("state", "pending, parked, committed or rolled-back", cxxopts::value<std::string>(),
             "STATE");
         add("older", "prepared at least so long ago: 90s, 5m, 2h", cxxopts::value<std::string>(),
             "TIME");
         add("group", "of this producer group", cxxopts::value<std::string>(), "NAME");
       },
       list},
  };
}

}  // namespace tally::cli
