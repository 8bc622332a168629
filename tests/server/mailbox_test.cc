#include "broker/server/mailbox.h"

#include <catch2/catch.hpp>
#include <thread>
#include <vector>

namespace tally::broker {

struct Numbers {
  std::vector<int> values{};
};

TEST_CASE("all that was put since the last look is taken at once, in order") {
  Mailbox<Numbers> mailbox;
  for (int i = 0; i < 5; ++i) mailbox.put([&](Numbers& mail) { mail.values.push_back(i); });
  Numbers mail;
  REQUIRE(mailbox.take(mail, 0));
  CHECK(mail.values == std::vector<int>{0, 1, 2, 3, 4});
  mail.values.clear();
  CHECK_FALSE(mailbox.take(mail, 0));
  CHECK(mail.values.empty());
}

TEST_CASE("a reader that waits in vain comes back with nothing") {
  Mailbox<Numbers> mailbox;
  Numbers mail;
  CHECK_FALSE(mailbox.take(mail, 1));
}

TEST_CASE("nothing is lost between many writers and one sleeping reader") {
  constexpr int kWriters = 4, kEach = 2'000;
  Mailbox<Numbers> mailbox;
  std::vector<std::thread> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) mailbox.put([&](Numbers& mail) { mail.values.push_back(1); });
    });
  }
  int taken = 0;
  Numbers mail;
  while (taken < kWriters * kEach && mailbox.take(mail, 10'000)) {
    taken += static_cast<int>(mail.values.size());
    mail.values.clear();
  }
  for (auto& writer : writers) writer.join();
  CHECK(taken == kWriters * kEach);
}

}  // namespace tally::broker
