#include <map>
#include <string_view>

#include "tools/tally/command.h"

namespace tally::cli {
namespace {

/// What is told of transactions, in its order; a dot stands where JSON nests. The broker's names have '_' there.
constexpr std::string_view kOfTransactions[] = {
    "pending",
    "parked",
    "oldest_pending_ms",
    "decided.commit.producer",
    "decided.commit.check",
    "decided.commit.operator",
    "decided.rollback.producer",
    "decided.rollback.check",
    "decided.rollback.operator",
    "decided.rollback.broker",
    "checks.sent",
    "checks.commit",
    "checks.rollback",
    "checks.unknown",
    "checks.timed_out",
    "no_checker_waiting",
    "conflicts",
    "decision_ms.p50",
    "decision_ms.p99",
    "horizon_ms",
};

std::string with(std::string_view path, char separator) {
  std::string text(path);
  for (char& c : text) {
    if (c == '.') c = separator;
  }
  return text;
}

void set(Json& line, const std::string& path, std::uint64_t value) {
  line[Json::json_pointer("/" + with(path, '/'))] = value;
}

int stats(const Invocation& invocation) {
  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  auto answer = broker->ask<StatsResponse>(StatsRequest{});
  if (!answer) return invocation.fail(answer.error());
  std::map<std::string, std::uint64_t> left;
  for (const StatValue& value : answer->values) left[value.name] = value.value;
  Json line = Json::object();
  Table table({"FIGURE", "VALUE"});
  const auto show = [&](const std::string& path, std::uint64_t value) {
    set(line, path, value);
    table.add({with(path, ' '), std::to_string(value)});
  };
  for (const std::string_view path : kOfTransactions) {
    const auto found = left.extract(with(path, '_'));
    if (!found.empty()) show(std::string(path), found.mapped());
  }
  for (const StatValue& value : answer->values) {
    if (left.contains(value.name)) show("broker." + value.name, value.value);
  }
  if (invocation.json()) {
    print_line(line);
  } else {
    table.print();
  }
  return kExitOk;
}

}  // namespace

std::vector<Command> stats_commands() {
  return {{"stats",
           "",
           "Shows the broker's counters: transactions first, then process, network and log.",
           "tally stats -o json",
           {},
           stats}};
}

}  // namespace tally::cli
