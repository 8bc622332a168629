#include "broker/server/connection_quota.h"

#include <catch2/catch.hpp>

namespace tally::broker {

using Verdict = ConnectionQuota::Verdict;

TEST_CASE("connections over the limit are refused until one closes") {
  ConnectionQuota quota(2, 100);
  CHECK(quota.opened("a") == Verdict::kAccept);
  CHECK(quota.opened("b") == Verdict::kAccept);
  CHECK(quota.opened("c") == Verdict::kRefuse);
  quota.closed("c", false);
  quota.closed("a", false);
  CHECK(quota.opened("c") == Verdict::kAccept);
}

TEST_CASE("one address may have only so many connections before Hello") {
  ConnectionQuota quota(100, 2);
  CHECK(quota.opened("a") == Verdict::kAccept);
  CHECK(quota.opened("a") == Verdict::kAccept);
  CHECK(quota.opened("a") == Verdict::kRefuse);
  quota.closed("a", false);
  CHECK(quota.opened("b") == Verdict::kAccept);
  quota.greeted("a");
  CHECK(quota.opened("a") == Verdict::kAccept);
  quota.closed("a", true);
  CHECK(quota.opened("a") == Verdict::kRefuse);
}

TEST_CASE("when too many are being refused the next is dropped and not counted") {
  ConnectionQuota quota(1, 1'000);
  CHECK(quota.opened("a") == Verdict::kAccept);
  int refused = 0;
  while (quota.opened("a") == Verdict::kRefuse) ++refused;
  CHECK(refused > 0);
  quota.closed("a", false);
  CHECK(quota.opened("a") == Verdict::kRefuse);
}

}  // namespace tally::broker
