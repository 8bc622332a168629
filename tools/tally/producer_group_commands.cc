#include "tools/tally/check_options.h"
#include "tools/tally/command.h"

namespace tally::cli {
namespace {

Json to_json(const ProducerGroupInfo& group) {
  Json line = {{"group", group.name}};
  put_checks(line, group.checks);
  return line;
}

int set(const Invocation& invocation) {
  SetProducerGroupRequest request;
  request.group = {.name = invocation.text("NAME"), .checks = parse_check_options(invocation)};
  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  auto answer = broker->ask<SetProducerGroupResponse>(request);
  if (!answer) return invocation.fail(answer.error());
  if (invocation.json()) {
    print_line(to_json(request.group));
  } else {
    std::printf("producer group %s %s\n", request.group.name.c_str(),
                request.group.checks == CheckSettings{} ? "has no settings of its own" : "set");
  }
  return kExitOk;
}

int list(const Invocation& invocation) {
  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  std::vector<std::string> columns = {"GROUP"};
  columns.insert(columns.end(), std::begin(kCheckColumns), std::end(kCheckColumns));
  Table table(columns);
  for (ListProducerGroupsRequest page;;) {
    auto answer = broker->ask<ListProducerGroupsResponse>(page);
    if (!answer) return invocation.fail(answer.error());
    for (const ProducerGroupInfo& group : answer->groups) {
      if (invocation.json()) {
        print_line(to_json(group));
        continue;
      }
      std::vector<std::string> cells = check_cells(group.checks);
      cells.insert(cells.begin(), group.name);
      table.add(cells);
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
       add_check_options, set},
      {"producer-group list",
       "",
       "Lists producer groups that have settings of their own.",
       "tally producer-group list -o json",
       {},
       list},
  };
}

}  // namespace tally::cli
