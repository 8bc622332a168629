#include "tools/tally/check_options.h"
#include "tools/tally/command.h"

namespace tally::cli {
namespace {

Json to_json(const TopicInfo& topic) {
  Json queues = Json::array();
  for (const QueueInfo& queue : topic.queues) {
    queues.push_back(
        {{"queue", queue.queue.value}, {"first", queue.first.value}, {"next", queue.next.value}});
  }
  Json line = {{"topic", topic.name},
               {"uid", topic.uid.value},
               {"retention_ms", topic.retention_ms},
               {"queues", std::move(queues)}};
  if (topic.checks != CheckSettings{}) put_checks(line["checks"], topic.checks);
  return line;
}

std::uint64_t retained(const TopicInfo& topic) {
  std::uint64_t sum = 0;
  for (const QueueInfo& queue : topic.queues) sum += queue.next.value - queue.first.value;
  return sum;
}

void print_topic(const Invocation& invocation, const TopicInfo& topic) {
  if (invocation.json()) return print_line(to_json(topic));
  std::printf("topic %s\n", topic.name.c_str());
  if (topic.retention_ms != 0) {
    std::printf("retention %lld ms\n", static_cast<long long>(topic.retention_ms));
  }
  const std::vector<std::string> checks = check_cells(topic.checks);
  for (std::size_t i = 0; i < checks.size(); ++i) {
    if (!checks[i].empty()) std::printf("checks: %s %s\n", kCheckColumns[i], checks[i].c_str());
  }
  Table table({"QUEUE", "FIRST", "NEXT"});
  for (const QueueInfo& queue : topic.queues) {
    table.add({std::to_string(queue.queue.value), std::to_string(queue.first.value),
               std::to_string(queue.next.value)});
  }
  table.print();
}

int create(const Invocation& invocation) {
  std::uint32_t queues = 0;
  if (invocation.options.count("queues")) {
    queues = invocation.options["queues"].as<std::uint32_t>();
    if (queues == 0) throw UsageError("--queues must be at least 1");
  }
  CreateTopicRequest request{.topic = invocation.text("NAME"), .queues = queues};
  if (invocation.options.count("retention")) {
    request.retention_ms = parse_duration_ms(invocation.options["retention"].as<std::string>());
    if (request.retention_ms == 0) throw UsageError("--retention must be over 0");
  }
  request.checks = parse_check_options(invocation);
  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  auto answer = broker->ask<CreateTopicResponse>(request);
  if (!answer) return invocation.fail(answer.error());
  if (invocation.json()) {
    print_line(to_json(answer->topic));
  } else {
    std::printf("topic %s with %zu queues\n", answer->topic.name.c_str(),
                answer->topic.queues.size());
  }
  return kExitOk;
}

int list(const Invocation& invocation) {
  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  Table table({"TOPIC", "QUEUES", "MESSAGES"});
  for (ListTopicsRequest page;;) {
    auto answer = broker->ask<ListTopicsResponse>(page);
    if (!answer) return invocation.fail(answer.error());
    for (const TopicInfo& topic : answer->topics) {
      if (invocation.json()) {
        print_line(to_json(topic));
      } else {
        table.add(
            {topic.name, std::to_string(topic.queues.size()), std::to_string(retained(topic))});
      }
    }
    if (!answer->more) break;
    page.after = answer->topics.back().name;
  }
  if (!invocation.json()) table.print();
  return kExitOk;
}

int show(const Invocation& invocation) {
  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  auto answer = broker->ask<ListTopicsResponse>(ListTopicsRequest{.name = invocation.text("NAME")});
  if (!answer) return invocation.fail(answer.error());
  for (const TopicInfo& topic : answer->topics) print_topic(invocation, topic);
  return kExitOk;
}

}  // namespace

std::vector<Command> topic_commands() {
  return {
      {"topic create", "NAME", "Creates a topic; repeating it with the same settings is fine.",
       "tally topic create orders\ntally topic create orders --queues 8 --retention 24h",
       [](cxxopts::OptionAdder& add) {
         add("queues", "1 to 1024 (default 4)", cxxopts::value<std::uint32_t>(), "N");
         add("retention", "how long messages are kept, at most the broker's retention (default)",
             cxxopts::value<std::string>(), "TIME");
         add_check_options(add);
       },
       create},
      {"topic list", "", "Lists all topics.", "tally topic list -o json", {}, list},
      {"topic show", "NAME", "Shows the queues of a topic.", "tally topic show orders", {}, show},
  };
}

}  // namespace tally::cli
