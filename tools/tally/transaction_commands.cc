#include "protocol/base/clock.h"
#include "protocol/base/message_block.h"
#include "tools/tally/command.h"

namespace tally::cli {
namespace {

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
    line["decided_at_ms"] = transaction.decided_at_ms;
    if (!transaction.reason.empty()) set_bytes(line, "reason", transaction.reason);
  }
  if (!transaction.check_records.empty()) {
    Json records = Json::array();
    for (const CheckRecord& check : transaction.check_records) {
      records.push_back({{"delivered_at_ms", check.delivered_at_ms}, {"client", check.client}});
    }
    line["check_records"] = std::move(records);
  }
  return line;
}

void print_transaction(const TransactionInfo& transaction) {
  auto row = [](const char* label, const std::string& value) {
    if (!value.empty()) std::printf("%-12s %s\n", label, value.c_str());
  };
  std::string topics;
  for (const std::string& topic : transaction.topics)
    topics += (topics.empty() ? "" : ", ") + topic;
  row("transaction", transaction.id);
  row("state", std::string(name(transaction.state)));
  row("group", transaction.group);
  row("prepared", time_text(transaction.handle.time_ms) +
                      (transaction.client.empty() ? "" : " by " + transaction.client));
  row("messages", std::to_string(transaction.messages));
  row("topics", topics);
  row("checks", std::to_string(transaction.checks));
  for (const CheckRecord& check : transaction.check_records) {
    row("  checked", time_text(check.delivered_at_ms) + " at " + check.client);
  }
  if (transaction.decided_by == Decider::kNone) {
    row("next check", time_text(transaction.next_check_at_ms));
    row("expires", time_text(transaction.expires_at_ms));
  } else {
    row("decided",
        time_text(transaction.decided_at_ms) + " by " + std::string(name(transaction.decided_by)));
    row("reason", transaction.reason);
  }
}

int prepare(const Invocation& invocation) {
  PrepareRequest request;
  for (const char* required : {"topic", "group", "id", "body"}) {
    if (!invocation.options.count(required))
      throw UsageError(std::string("--") + required + " is missing");
  }
  Message message;
  message.topic = invocation.text("topic");
  message.key = invocation.text("key");
  message.tag = invocation.text("tag");
  message.body = invocation.text("body");
  request.topic = message.topic;
  request.transaction = invocation.text("id");
  request.group = invocation.text("group");
  std::string block;
  if (auto made = append_message_block(message, system_clock().wall_ms(), block); !made) {
    return invocation.fail(made.error());
  }
  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  auto answer = broker->ask<PrepareResponse>(request, block);
  if (!answer) return invocation.fail(answer.error());
  if (invocation.json()) {
    Json line = Json::object();
    set_bytes(line, "id", request.transaction);
    line["state"] = name(TransactionState::kPending);
    line["handle"] = MessageUid{answer->handle.log, answer->handle.lsn}.to_string();
    line["prepared_at_ms"] = answer->handle.time_ms;
    line["first_check_at_ms"] = answer->first_check_at_ms;
    line["expires_at_ms"] = answer->expires_at_ms;
    print_line(line);
  } else {
    std::printf("%s prepared, first check %s\n", request.transaction.c_str(),
                time_text(answer->first_check_at_ms).c_str());
  }
  return kExitOk;
}

int end(const Invocation& invocation, Decision decision) {
  EndRequest request;
  request.transaction = invocation.text("ID");
  request.decision = decision;
  request.by_operator = true;
  request.reason = invocation.text("reason");
  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  auto answer = broker->ask<EndResponse>(request);
  if (!answer) return invocation.fail(answer.error());
  const Winner& result = answer->result;
  if (invocation.json()) {
    Json line = Json::object();
    set_bytes(line, "id", request.transaction);
    line["state"] = name(result.state);
    line["decided_by"] = name(result.decided_by);
    line["decided_at_ms"] = result.decided_at_ms;
    line["repeated"] = answer->repeated;
    print_line(line);
  } else {
    std::printf(
        "%s %s by %s at %s\n", request.transaction.c_str(), std::string(name(result.state)).c_str(),
        std::string(name(result.decided_by)).c_str(), time_text(result.decided_at_ms).c_str());
  }
  return kExitOk;
}

int show(const Invocation& invocation) {
  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  auto answer = broker->ask<ShowTransactionResponse>(
      ShowTransactionRequest{.transaction = invocation.text("ID")});
  if (!answer) return invocation.fail(answer.error());
  if (invocation.json()) {
    print_line(to_json(answer->transaction));
  } else {
    print_transaction(answer->transaction);
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
  ListTransactionsRequest page{.state = parse_state(invocation.text("state"))};
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

void reason_option(cxxopts::OptionAdder& add) {
  add("reason", "recorded with the decision", cxxopts::value<std::string>(), "TEXT");
}

}  // namespace

std::vector<Command> transaction_commands() {
  return {
      {"txn prepare", "", "Stores a half message: the first step of a transaction.",
       "tally txn prepare --topic orders --group shop --id order-42 --body '{\"id\":42}'",
       [](cxxopts::OptionAdder& add) {
         add("topic", "where the message will appear (required)", cxxopts::value<std::string>(),
             "NAME");
         add("group", "producer group (required)", cxxopts::value<std::string>(), "NAME");
         add("id", "transaction id, 1 to 255 bytes (required)", cxxopts::value<std::string>(),
             "ID");
         add("body", "the message (required)", cxxopts::value<std::string>(), "TEXT");
         add("key", "messages of a key go to one queue", cxxopts::value<std::string>(), "TEXT");
         add("tag", "for filters", cxxopts::value<std::string>(), "TEXT");
       },
       prepare},
      {"txn commit", "ID", "Commits a pending transaction, as an operator.",
       "tally txn commit order-42 --reason 'row is in the database'", reason_option,
       [](const Invocation& invocation) { return end(invocation, Decision::kCommit); }},
      {"txn rollback", "ID", "Rolls a pending transaction back, as an operator.",
       "tally txn rollback order-42 --reason 'no such order'", reason_option,
       [](const Invocation& invocation) { return end(invocation, Decision::kRollback); }},
      {"txn show",
       "ID",
       "Shows a transaction: who prepared it, checks, decision.",
       "tally txn show order-42 -o json",
       {},
       show},
      {"txn list", "", "Lists transactions.", "tally txn list --state pending",
       [](cxxopts::OptionAdder& add) {
         add("state", "pending, parked, committed or rolled-back", cxxopts::value<std::string>(),
             "STATE");
       },
       list},
  };
}

}  // namespace tally::cli
