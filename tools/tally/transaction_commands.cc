#include "protocol/base/clock.h"
#include "protocol/base/message_block.h"
#include "tools/tally/command.h"

namespace tally::cli {
namespace {

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
  request.message = invocation.options["message"].as<std::uint32_t>();
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
    line["message"] = request.message;
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
         add("message", "1 to 64: number within the transaction, to add another one",
             cxxopts::value<std::uint32_t>()->default_value("1"), "N");
       },
       prepare},
      {"txn commit", "ID", "Commits a pending transaction, as an operator.",
       "tally txn commit order-42 --reason 'row is in the database'", reason_option,
       [](const Invocation& invocation) { return end(invocation, Decision::kCommit); }},
      {"txn rollback", "ID", "Rolls a pending transaction back, as an operator.",
       "tally txn rollback order-42 --reason 'no such order'", reason_option,
       [](const Invocation& invocation) { return end(invocation, Decision::kRollback); }},
  };
}

}  // namespace tally::cli
