#include <catch2/catch.hpp>
#include <set>

#include "protocol/base/checksum.h"
#include "protocol/base/requests.h"

namespace tally {
namespace {

constexpr std::string_view kHex = "00112233445566778899aabbccddeeff";

}  // namespace

TEST_CASE("a 128-bit id reads back from its 32 digits") {
  std::optional<LogId> id = LogId::from_hex(kHex);
  REQUIRE(id.has_value());
  CHECK(id->bytes[0] == 0x00);
  CHECK(id->bytes[1] == 0x11);
  CHECK(id->bytes[15] == 0xff);
  CHECK(id->to_hex() == kHex);
  CHECK_FALSE(id->is_zero());
  CHECK(LogId{}.is_zero());
}

TEST_CASE("a text that is not 32 lower-case digits is no id") {
  for (std::string_view bad :
       {"", "0", "00112233445566778899aabbccddeef", "00112233445566778899aabbccddeeff0",
        "00112233445566778899AABBCCDDEEFF", "0011223344556677889 aabbccddeeff"}) {
    CAPTURE(bad);
    CHECK_FALSE(LogId::from_hex(bad).has_value());
  }
}

TEST_CASE("a message uid reads back from its text") {
  for (std::uint64_t lsn : {std::uint64_t{0}, std::uint64_t{4096}, UINT64_MAX}) {
    MessageUid uid{*LogId::from_hex(kHex), Lsn{lsn}};
    CHECK(uid.to_string() == std::string{kHex} + "-" + std::to_string(lsn));
    CHECK(MessageUid::from_string(uid.to_string()) == uid);
  }
}

TEST_CASE("a text that is not exactly what to_string writes is no message uid") {
  for (std::string_view tail :
       {"", "-", "-x", "-1x", "--1", "-+1", "-01", "- 1", "1-1", "-18446744073709551616"}) {
    std::string bad = std::string{kHex}.append(tail);
    CAPTURE(bad);
    CHECK_FALSE(MessageUid::from_string(bad).has_value());
  }
}

TEST_CASE("the checksum is XXH3-64 with seed 0") {
  CHECK(checksum("") == 0x2d06800538d394c2);
  CHECK(checksum("tally") == checksum("tally", 0));
  CHECK(checksum("tally") != checksum("tally", 1));
}

TEST_CASE("hash32 is the low half of the checksum, and zero only for an empty text") {
  CHECK(hash32("") == 0);
  CHECK(hash32("customer-7") == static_cast<std::uint32_t>(checksum("customer-7")));
  CHECK(hash32("customer-7") != 0);
}

TEST_CASE("every request has a name, a lane, and a kind of its own") {
  std::set<int> kinds;
#define TALLY_REQUEST(Name, number, sender, lane_)                  \
  CHECK(kinds.insert(number).second);                               \
  CHECK(name(RequestKind::k##Name) == #Name);                       \
  CHECK(lane(RequestKind::k##Name) == Lane::lane_);                 \
  CHECK(kind_of(Request{Name##Request{}}) == RequestKind::k##Name); \
  CHECK(kind_of(Response{Name##Response{}}) == RequestKind::k##Name);
#include "protocol/base/requests.inc"
#undef TALLY_REQUEST
  CHECK(name(static_cast<RequestKind>(255)) == "unknown");
}

}  // namespace tally
