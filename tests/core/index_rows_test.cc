// The rows of the index: their keys, and how little they take.

#include <algorithm>
#include <catch2/catch.hpp>
#include <iostream>

#include "broker/core/base_rows.h"
#include "protocol/base/random.h"
#include "tests/core/test_broker.h"

namespace tally::broker {
namespace {

struct Size {
  std::uint64_t rows = 0, bytes = 0;
};

Size size_of(const store::IndexStore& index, keys::Kind kind) {
  Size size;
  REQUIRE(index.scan(keys::prefix(ShardId(0), kind), keys::prefix_end(ShardId(0), kind),
                     [&](std::string_view key, std::string_view row) {
                       ++size.rows;
                       size.bytes += key.size() + row.size();
                       return true;
                     }));
  return size;
}

}  // namespace

TEST_CASE("a transaction id survives its form, and ids that SDKs make take 17 bytes") {
  const std::string made = make_transaction_id(1'700'000'000'000);
  REQUIRE(keys::id_form(made).size() == 17);
  for (const std::string& id :
       {made, std::string("x"), std::string(32, 'A'), std::string(31, 'a'), std::string(33, 'a'),
        std::string("\0", 1), std::string(255, '\xFF'), std::string(32, '0')}) {
    REQUIRE(keys::id_of_form(keys::id_form(id)) == id);
  }
  REQUIRE(keys::id_form(std::string(32, '0')) < keys::id_form(std::string(31, '0') + "1"));
  REQUIRE(keys::id_form("a") < keys::id_form("b"));
  REQUIRE_FALSE(keys::id_of_form(""));
  REQUIRE_FALSE(keys::id_of_form("\1abc"));
  REQUIRE_FALSE(keys::id_of_form("\3abc"));
}

TEST_CASE("pages of transactions hold ids of every form, each once") {
  TestBroker broker;
  broker.make_topic("t");
  const SessionId session = broker.connect("p");
  std::vector<std::string> ids;
  for (int i = 0; i < 10; ++i) {
    ids.push_back(make_transaction_id(1'700'000'000'000 + i));
    ids.push_back("text" + std::to_string(i));
  }
  for (std::size_t i = 0; i < ids.size(); ++i) {
    broker.prepared(session, {.id = ids[i]}).value();
    if (i % 3 == 0) REQUIRE(broker.end(session, ids[i], Decision::kCommit));
    if (i == 12) broker.checkpoint();
  }
  std::vector<std::string> listed;
  for (const auto& transaction : broker.list(session, 0, GENERATE(1u, 3u, 7u, 100u))) {
    listed.push_back(transaction.id);
  }
  REQUIRE(std::is_permutation(listed.begin(), listed.end(), ids.begin(), ids.end()));
}

TEST_CASE("the index takes at most 16 bytes for a message and 64 for a decided transaction") {
  TestBroker broker;
  broker.make_topic("t", 4);
  const SessionId session = broker.connect("orders-1");
  constexpr std::uint32_t kMessages = 20'000, kTransactions = 5'000;
  for (std::uint32_t i = 0; i < kMessages; ++i) {
    broker.send(session, "t", 0, 1'000 + i % 50);
    if (i % 64 == 0) broker.run();
  }
  broker.run();
  broker.checkpoint();
  const Size blocks = size_of(broker.index(), keys::Kind::kBlock);
  for (std::uint32_t i = 0; i < kTransactions; ++i) {
    const std::string id = make_transaction_id(broker.now_ms());
    broker.prepare(session, {.id = id, .group = "orders", .fresh = true, .bytes = 1'000});
    broker.submit(
        session,
        EndRequest{
            .transaction = id, .group = "orders", .decision = Decision::kCommit, .messages = 1});
    if (i % 64 == 0) broker.advance(20), broker.run();
  }
  broker.run();
  broker.checkpoint();
  const Size decided = size_of(broker.index(), keys::Kind::kDecided);
  REQUIRE(decided.rows == kTransactions);
  std::cout << "index: " << (blocks.bytes + kMessages - 1) / kMessages << " bytes a message, "
            << decided.bytes / decided.rows << " bytes a decided transaction\n";
  REQUIRE(blocks.bytes <= 16 * kMessages);
  REQUIRE(decided.bytes <= 64 * kTransactions);
}

TEST_CASE("rows tell a base what they need of the log, and damaged ones tell nothing") {
  TestBroker broker;
  broker.make_topic("t");
  const SessionId session = broker.connect("p");
  const auto open = broker.prepared(session, {.id = "open"}).value();
  broker.prepared(session, {.id = "open", .message = 2, .digest = 2}).value();
  broker.prepared(session, {.id = "decided"}).value();
  const Lsn before = broker.log_end();
  REQUIRE(broker.end(session, "decided", Decision::kCommit));
  broker.checkpoint();
  const auto row_of = [&](keys::Kind kind, const std::string& id) {
    const std::string key = keys::transaction(ShardId(0), kind, id);
    return std::pair(key, broker.index().get(key).value().value());
  };
  const auto [open_key, open_row] = row_of(keys::Kind::kOpen, "open");
  REQUIRE(oldest_half(open_key, open_row) == open.handle.lsn);
  const auto [decided_key, decided_row] = row_of(keys::Kind::kDecided, "decided");
  REQUIRE(end_of_decided(decided_key, decided_row).value() > before);
  for (std::size_t bytes = 0; bytes < open_row.size(); ++bytes) {
    REQUIRE_FALSE(oldest_half(open_key, std::string_view(open_row).substr(0, bytes)));
  }
  REQUIRE_FALSE(end_of_decided(decided_key, decided_row.substr(0, 5)));
  REQUIRE_FALSE(oldest_half("p", open_row));
}

}  // namespace tally::broker
