#include "tests/simulation/workload.h"

#include "protocol/base/checksum.h"

namespace tally::simulation {
namespace {

std::string block_of(const std::string& body, std::int64_t born_ms) {
  std::string block;
  append_message_block({.body = body}, born_ms, block).value();
  return block;
}

}  // namespace

const std::vector<Workload::Topic>& Workload::topics() {
  static const std::vector<Topic> all = {{"orders", 3}, {"bills", 1}};
  return all;
}

const std::vector<std::string>& Workload::groups() {
  static const std::vector<std::string> all = {"points", "mail"};
  return all;
}

std::string Workload::fresh_id(std::string_view prefix) {
  return std::string(prefix) + "-" + std::to_string(++ids_);
}

std::string Workload::shared_id(std::string_view prefix) {
  return std::string(prefix) + "-shared-" + std::to_string(random_.below(12));
}

std::vector<Workload::Half> Workload::halves(const std::string& id, std::int64_t born_ms) {
  Random random(checksum(id));
  std::vector<Half> halves(random.one_in(3) ? static_cast<std::size_t>(random.between(2, 4)) : 1);
  for (std::size_t i = 0; i < halves.size(); ++i) {
    halves[i].topic = topics()[random.below(topics().size())].name;
    halves[i].block = block_of(id + "/" + std::to_string(i + 1) +
                                   std::string(random.below(random.one_in(20) ? 6'000 : 200), '.'),
                               born_ms);
  }
  return halves;
}

Workload::Half Workload::message(std::string_view what, std::int64_t born_ms) {
  return {topics()[random_.below(topics().size())].name, block_of(fresh_id(what), born_ms)};
}

}  // namespace tally::simulation
