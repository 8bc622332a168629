#include "tools/tally/command.h"

namespace tally::cli {
namespace {

Json to_json(const GroupInfo& group) {
  Json queues = Json::array();
  for (const GroupQueueInfo& queue : group.queues) {
    queues.push_back({{"topic", queue.topic},
                      {"queue", queue.queue.value},
                      {"floor", queue.floor.value},
                      {"next", queue.next.value},
                      {"settled_above_floor", queue.settled_above_floor},
                      {"retrying", queue.retrying},
                      {"dead_lettered", queue.dead_lettered},
                      {"unsettled", queue.unsettled},
                      {"lost", queue.lost},
                      {"damaged", queue.damaged}});
  }
  return {{"group", group.name}, {"queues", std::move(queues)}};
}

int list(const Invocation& invocation) {
  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  Table table({"GROUP", "TOPICS", "UNSETTLED", "RETRYING", "DEAD", "LOST"});
  for (ListGroupsRequest page;;) {
    auto answer = broker->ask<ListGroupsResponse>(page);
    if (!answer) return invocation.fail(answer.error());
    for (const GroupInfo& group : answer->groups) {
      if (invocation.json()) {
        print_line(to_json(group));
        continue;
      }
      std::uint64_t unsettled = 0, retrying = 0, dead = 0, lost = 0, topics = 0;
      std::string topic;
      for (const GroupQueueInfo& queue : group.queues) {
        unsettled += queue.unsettled;
        retrying += queue.retrying;
        dead += queue.dead_lettered;
        lost += queue.lost;
        topics += std::exchange(topic, queue.topic) != queue.topic;
      }
      table.add({group.name, std::to_string(topics), std::to_string(unsettled),
                 std::to_string(retrying), std::to_string(dead), std::to_string(lost)});
    }
    if (!answer->more) break;
    page.after = answer->groups.back().name;
  }
  if (!invocation.json()) table.print();
  return kExitOk;
}

int show(const Invocation& invocation) {
  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  auto answer = broker->ask<ListGroupsResponse>(ListGroupsRequest{.name = invocation.text("NAME")});
  if (!answer) return invocation.fail(answer.error());
  for (const GroupInfo& group : answer->groups) {
    if (invocation.json()) {
      print_line(to_json(group));
      continue;
    }
    std::printf("group %s\n", group.name.c_str());
    Table table(
        {"TOPIC", "QUEUE", "FLOOR", "NEXT", "UNSETTLED", "RETRYING", "DEAD", "LOST", "DAMAGED"});
    for (const GroupQueueInfo& queue : group.queues) {
      table.add({queue.topic, std::to_string(queue.queue.value), std::to_string(queue.floor.value),
                 std::to_string(queue.next.value), std::to_string(queue.unsettled),
                 std::to_string(queue.retrying), std::to_string(queue.dead_lettered),
                 std::to_string(queue.lost), std::to_string(queue.damaged)});
    }
    table.print();
  }
  return kExitOk;
}

}  // namespace

std::vector<Command> group_commands() {
  return {
      {"group list", "", "Lists all consumer groups.", "tally group list", {}, list},
      {"group show",
       "NAME",
       "Shows how far a consumer group is.",
       "tally group show points",
       {},
       show},
  };
}

}  // namespace tally::cli
