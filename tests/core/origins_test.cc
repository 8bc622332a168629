#include "broker/core/origins.h"

#include <catch2/catch.hpp>
#include <vector>

#include "broker/core/transactions.h"

namespace tally::broker {

TEST_CASE(
    "what many transactions have in common is kept once, and forgotten with the last of them") {
  Origins origins;
  const Origin one{.group = "g", .client = "c", .store = StoreId{{1}}};
  Origin other_group = one, other_client = one, other_store = one;
  other_group.group = "h";
  other_client.client = "d";
  other_store.store = StoreId{{2}};
  std::vector<Origins::Share> shares;
  for (const Origin& origin : {one, other_group, other_client, other_store}) {
    for (int i = 0; i < 3; ++i) {
      shares.push_back(origins.share(origin));
      REQUIRE(shares.back().get() == origin);
    }
  }
  REQUIRE(origins.size() == 4);
  Origins::Share first = std::move(shares.front());
  shares.clear();
  REQUIRE(origins.size() == 1);
  REQUIRE(first.get() == one);
  first = {};
  REQUIRE(origins.size() == 0);
  REQUIRE(first.get() == Origin{});
}

TEST_CASE("an id of any length is kept") {
  IdText text;
  REQUIRE(text.view().empty());
  for (const std::size_t bytes : {39u, 40u, 255u, 1u, 40u, 0u}) {
    const std::string id(bytes, 'x');
    text.set(id);
    REQUIRE(text.view() == id);
  }
  text.set(std::string(41, 'y'));
  text.clear();
  REQUIRE(text.view().empty());
}

}  // namespace tally::broker
