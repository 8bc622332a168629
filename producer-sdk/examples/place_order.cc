// Places an order: one row in the service's own database and one message for everybody else, both or neither.
//
//   place_order HOST:PORT DATABASE ORDER-ID

#include <cstdio>
#include <cstdlib>
#include <string>
#include <tally/producer.hpp>
#include <tally/sqlite.hpp>

namespace {

int place_order(const std::string& broker, const std::string& file, int id) {
  auto db = tally::sqlite::Database::open(file).value();
  db.execute("create table if not exists orders (id integer primary key, state text)").value();

  auto producer = tally::Producer::connect({.broker = broker, .group = "orders"}).value();
  producer.attach(db);  // from now on check-backs for `db` are answered by the SDK

  const auto sent = producer
                        .in_transaction(db,
                                        {.topic = "order.created",
                                         .key = std::to_string(id),
                                         .body = R"({"id":)" + std::to_string(id) + "}"},
                                        [&](tally::sqlite::Transaction& tx) {
                                          tx.execute("insert into orders values (?, ?)", id, "new");
                                          return tally::Decision::kCommit;
                                        })
                        .value();

  if (sent.outcome == tally::TransactionOutcome::kRolledBack) {
    std::printf("not placed: %s\n", sent.cause ? to_string(*sent.cause).c_str() : "rolled back");
    return EXIT_FAILURE;
  }
  // The order stands already; this only shows how to wait until the broker has confirmed it too.
  const auto confirmed = producer.wait(sent.id).value();
  std::printf("placed order %d in transaction %s\n", id, confirmed.id.c_str());
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: place_order HOST:PORT DATABASE ORDER-ID\n");
    return 2;
  }
  try {
    return place_order(argv[1], argv[2], std::atoi(argv[3]));
  } catch (const tally::Exception& exception) {
    std::fprintf(stderr, "%s\n", exception.what());
    return EXIT_FAILURE;
  }
}
