// Rows of a base are primary data: this version writes them as the golden file has them, and reads them from there. Another
// form is a new format, not a new golden file. TALLY_WRITE_GOLDEN=1 writes the file when it is missing.

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/core/retention_scene.h"

namespace tally::broker {
namespace {

constexpr const char* kGolden = "tests/core/golden/base-rows-v3.txt";

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    for (const int shift : {4, 0}) {
      text.push_back("0123456789abcdef"[static_cast<std::uint8_t>(byte) >> shift & 0x0F]);
    }
  }
  return text;
}

std::string from_hex(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

/// Every kind of row, no field left at its default.
void play(Scene& s) {
  s.broker.make_topic("short", 2, 20'000);
  s.send(5);
  const auto deliveries = s.receive(4, 3'600'000);
  s.settle(deliveries[2], SettleAction::kAck);
  s.settle(deliveries[3], SettleAction::kNack, 3'600'000);
  s.settle(deliveries[1], SettleAction::kDeadLetter);
  s.busy(kRetentionMs + 5'000);
  s.send(6);
  const auto newer = s.receive(5, 3'600'000);
  s.settle(newer[1], SettleAction::kAck);
  s.settle(newer[2], SettleAction::kNack, 3'600'000);
  s.broker.prepared(s.session, {.id = "text", .group = "orders"}).value();
  s.broker
      .prepared(
          s.session,
          {.id = "0123456789abcdef0123456789abcdef", .group = "orders", .first_check_ms = 1'000})
      .value();
  s.broker.prepared(s.session, {.id = "text", .group = "orders", .message = 2, .digest = 7})
      .value();
  s.broker.submit(s.session, RegisterCheckerRequest{.group = "orders", .stores = {StoreId{}}});
  s.broker.advance(2'000);
  for (const AskCheck& check : s.broker.take_checks()) {
    s.broker.submit(check.session, AnswerCheckRequest{.transaction = check.request.transaction,
                                                      .challenge = check.request.challenge,
                                                      .decision = Decision::kUnknown,
                                                      .reason = "no row yet"});
  }
  s.broker.run();
  REQUIRE(s.broker.ask<ManageTransactionResponse>(
      s.session, ManageTransactionRequest{
                     .transaction = "text", .action = TransactionAction::kPark, .reason = "lost"}));
  const CheckSettings checks{.first_check_ms = 2'000,
                             .lifetime_ms = 60'000,
                             .backoff_max_ms = 30'000,
                             .budget = 7,
                             .on_budget = OnBudget::kRollback};
  REQUIRE(s.broker.ask<SetProducerGroupResponse>(
      s.session, SetProducerGroupRequest{.group = {.name = "orders", .checks = checks}}));
  REQUIRE(s.broker.ask<CreateTopicResponse>(
      s.session, CreateTopicRequest{.topic = "checked", .queues = 1, .checks = checks}));
  for (const std::uint64_t sequence : {3u, 5u}) {
    s.broker.send_numbered(s.session, "short", 0xFFFF'FFFF'FFFF'FFFF, sequence, sequence);
  }
  s.busy(10'000);
}

}  // namespace

TEST_CASE("rows of bases are written and read as the golden file has them") {
  Scene s;
  play(s);
  std::ostringstream written;
  for (const auto& [key, row] : s.broker.newest_base_rows()) {
    written << hex(key) << ' ' << hex(row) << '\n';
  }
  if (!std::filesystem::exists(kGolden) && std::getenv("TALLY_WRITE_GOLDEN") != nullptr) {
    std::ofstream(kGolden) << written.str();
  }
  std::ifstream file(kGolden);
  std::ostringstream golden;
  golden << file.rdbuf();
  INFO("written:\n" << written.str());
  REQUIRE(written.str() == golden.str());

  auto index = store::make_memory_index();
  store::IndexBatch batch;
  std::istringstream lines(golden.str());
  for (std::string line; std::getline(lines, line);) {
    const std::size_t key_end = line.find(' ');
    batch.operations.push_back(
        {from_hex(line.substr(0, key_end)), from_hex(line.substr(key_end + 1))});
  }
  batch.position = {.applied = EntryIndex(1'000), .next = Lsn(1'000'000), .log = s.broker.log()};
  REQUIRE(index->write(batch));
  TestBroker restored(short_retention(), std::move(index));
  const SessionId session = restored.connect("c");
  const auto group = restored.ask<ListGroupsResponse>(session, ListGroupsRequest{.name = "g"});
  REQUIRE(group->groups.at(0).queues ==
          s.broker.ask<ListGroupsResponse>(s.session, ListGroupsRequest{.name = "g"})
              ->groups.at(0)
              .queues);
  REQUIRE(group->groups[0].queues[0].lost == 3);
  for (const char* id : {"text", "0123456789abcdef0123456789abcdef"}) {
    REQUIRE(restored.show(session, id).value() == s.broker.show(s.session, id).value());
  }
  REQUIRE(restored.core().counters().horizon == s.counters().horizon);
}

}  // namespace tally::broker
