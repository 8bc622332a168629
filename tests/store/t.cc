#include <catch2/catch.hpp>
#include "store/s.h"
#include "store/x.pb.h"
TEST_CASE("a thing works") { tally::wire::A a; REQUIRE(g() == 3); REQUIRE(a.ByteSizeLong() == 0); }
TEST_CASE("another") { REQUIRE(g() == 3); }
