#include "tools/tally/command.h"

namespace tally::cli {
namespace {

std::string duration_text(std::int64_t ms) { return ms == 0 ? "" : std::to_string(ms) + "ms"; }

std::string_view name_of(OnBudget on_budget) {
  switch (on_budget) {
    case OnBudget::kPark:
      return "park";
    case OnBudget::kRollback:
      return "rollback";
    case OnBudget::kInherit:
      break;
  }
  return "";
}

Json to_json(const ProducerGroupInfo& group) {
  Json line = {{"group", group.name}};
  const CheckSettings& checks = group.checks;
  if (checks.first_check_ms != 0) line["first_check_ms"] = checks.first_check_ms;
  if (checks.lifetime_ms != 0) line["lifetime_ms"] = checks.lifetime_ms;
  if (checks.backoff_max_ms != 0) line["backoff_max_ms"] = checks.backoff_max_ms;
  if (checks.budget != 0) line["budget"] = checks.budget;
  if (checks.on_budget != OnBudget::kInherit) line["on_budget"] = name_of(checks.on_budget);
  return line;
}

std::int64_t duration(const Invocation& invocation, const std::string& option) {
  return invocation.options.count(option) ? parse_duration_ms(invocation.text(option)) : 0;
}

OnBudget parse_on_budget(const std::string& text) {
  for (const OnBudget value : {OnBudget::kInherit, OnBudget::kPark, OnBudget::kRollback}) {
    if (text == name_of(value)) return value;
  }
  throw UsageError("--on-budget takes park or rollback");
}

int set(const Invocation& invocation) {
  SetProducerGroupRequest request;
  request.group.name = invocation.text("NAME");
  request.group.checks = {.first_check_ms = duration(invocation, "first-check"),
                          .lifetime_ms = duration(invocation, "lifetime"),
                          .backoff_max_ms = duration(invocation, "backoff-max"),
                          .budget = invocation.options["budget"].as<std::uint32_t>(),
                          .on_budget = parse_on_budget(invocation.text("on-budget"))};
  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  auto answer = broker->ask<SetProducerGroupResponse>(request);
  if (!answer) return invocation.fail(answer.error());
  if (invocation.json()) {
    print_line(to_json(request.group));
  } else {
    std::printf("producer group %s set\n", request.group.name.c_str());
  }
  return kExitOk;
}

int list(const Invocation& invocation) {
  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  Table table({"GROUP", "FIRST CHECK", "LIFETIME", "BACKOFF MAX", "BUDGET", "ON BUDGET"});
  for (ListProducerGroupsRequest page;;) {
    auto answer = broker->ask<ListProducerGroupsResponse>(page);
    if (!answer) return invocation.fail(answer.error());
    for (const ProducerGroupInfo& group : answer->groups) {
      if (invocation.json()) {
        print_line(to_json(group));
        continue;
      }
      const CheckSettings& checks = group.checks;
      table.add({group.name, duration_text(checks.first_check_ms),
                 duration_text(checks.lifetime_ms), duration_text(checks.backoff_max_ms),
                 checks.budget == 0 ? "" : std::to_string(checks.budget),
                 std::string(name_of(checks.on_budget))});
    }
    if (!answer->more) break;
    page.after = answer->groups.back().name;
  }
  if (!invocation.json()) table.print();
  return kExitOk;
}

}  // namespace

std::vector<Command> producer_group_commands() {
  return {
      {"producer-group set", "NAME",
       "Sets how transactions of a producer group are checked; what is left out follows topic and "
       "broker.",
       "tally producer-group set shop --first-check 5s --budget 10 --on-budget park",
       [](cxxopts::OptionAdder& add) {
         add("first-check", "from prepare to the first check", cxxopts::value<std::string>(),
             "TIME");
         add("lifetime", "of a transaction", cxxopts::value<std::string>(), "TIME");
         add("backoff-max", "longest time between two checks", cxxopts::value<std::string>(),
             "TIME");
         add("budget", "delivered checks until --on-budget",
             cxxopts::value<std::uint32_t>()->default_value("0"), "N");
         add("on-budget", "then: park or rollback", cxxopts::value<std::string>(), "WHAT");
       },
       set},
      {"producer-group list",
       "",
       "Lists producer groups that have settings of their own.",
       "tally producer-group list -o json",
       {},
       list},
  };
}

}  // namespace tally::cli
