// Service B: books transfers in, once each, however often they are delivered.

#include <unistd.h>

#include <cstdio>
#include <tally/consumer.hpp>

#include "tools/demo/bank.h"
#include "tools/demo/service.h"

namespace tally::demo {

int run_service_b(const ServiceOptions& options) {
  auto database = open_bank(path_b(options.folder), 0).value();
  auto consumer =
      Consumer::connect({.broker = options.broker, .group = kConsumerGroup, .client = "service-b"})
          .value();
  auto bookings =
      consumer
          .subscribe_in(database, {.topic = kTopic},
                        [&](const Delivery& delivery, sqlite::Transaction& tx) {
                          TransferId id = transfer_of(delivery.message().body);
                          say("handling " + std::to_string(id) + " " + delivery.id().to_string());
                          tx.execute(kBookSql, amount_of(id), account_of(id));
                          tx.execute(kNoteSql, id, amount_of(id));
                          if (options.plan.deaths_of_b.contains(id)) die();
                        })
          .value();
  // Works until the scenario kills or ends it: SIGTERM.
  pause();
  return 0;
}

}  // namespace tally::demo
