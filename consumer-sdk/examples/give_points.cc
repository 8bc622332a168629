// Gives a customer one point per order: a row in the service's own database for each message, once, however often the
// message is delivered and whoever dies in between.
//
//   give_points HOST:PORT DATABASE ORDERS      ends after that many orders

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <tally/consumer.hpp>
#include <tally/sqlite.hpp>

namespace {

int give_points(const std::string& broker, const std::string& file, int orders) {
  auto db = tally::sqlite::Database::open(file).value();
  db.execute("create table if not exists points (customer text primary key, n integer)").value();

  std::mutex mutex;
  std::condition_variable changed;
  int seen = 0;

  auto consumer = tally::Consumer::connect({.broker = broker, .group = "points"}).value();
  auto points = consumer
                    .subscribe_in(db, {.topic = "order.created"},
                                  [&](const tally::Delivery& d, tally::sqlite::Transaction& tx) {
                                    tx.execute(
                                        "insert into points values (?, 1)"
                                        " on conflict (customer) do update set n = n + 1",
                                        d.message().key);
                                    const std::lock_guard lock(mutex);
                                    ++seen;
                                    changed.notify_all();
                                  })
                    .value();
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return seen >= orders; });
  }
  points.stop().value();  // the last transaction is committed and its message acknowledged
  for (const auto& row : db.query("select customer, n from points order by customer").value()) {
    std::printf("customer %s: %lld\n", std::string(row.text(0)).c_str(),
                static_cast<long long>(row.integer(1)));
  }
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: give_points HOST:PORT DATABASE ORDERS\n");
    return 2;
  }
  try {
    return give_points(argv[1], argv[2], std::atoi(argv[3]));
  } catch (const tally::Exception& exception) {
    std::fprintf(stderr, "%s\n", exception.what());
    return EXIT_FAILURE;
  }
}
