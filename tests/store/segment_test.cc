#include "store/segment.h"

#include <catch2/catch.hpp>

namespace tally::store {
namespace {

SegmentHeader sample() {
  SegmentHeader header;
  header.log.bytes.fill(3);
  header.shard = ShardId(2);
  header.epoch = 77;
  header.base = Lsn(4096);
  return header;
}

TEST_CASE("a segment header reads back as it was made") {
  const std::string raw = sample().encode();
  REQUIRE(raw.size() == kSegmentHeaderBytes);
  const SegmentHeader read = SegmentHeader::decode(raw, "x").value();
  CHECK(read.log == sample().log);
  CHECK(read.shard == ShardId(2));
  CHECK(read.epoch == 77);
  CHECK(read.base == Lsn(4096));
}

TEST_CASE("every flipped byte of a segment header is found") {
  const std::string raw = sample().encode();
  for (std::size_t at = 0; at < raw.size(); ++at) {
    std::string flipped = raw;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    CAPTURE(at);
    CHECK_FALSE(SegmentHeader::decode(flipped, "x"));
  }
}

TEST_CASE("a segment of another format version is told from a damaged one") {
  std::string raw = sample().encode();
  raw[8] = 2;
  const auto newer = SegmentHeader::decode(raw, "x");
  REQUIRE_FALSE(newer);
  CHECK(newer.error().code == ErrorCode::kDataFormat);
  CHECK(newer.error().message == "x: has format version 2; this program knows version 1");
  raw = sample().encode();
  raw[40] = 8;
  CHECK(SegmentHeader::decode(raw, "x").error().code == ErrorCode::kDataDamaged);
}

TEST_CASE("segments are named by their base in twenty digits") {
  CHECK(segment_name(Lsn(0)) == "00000000000000000000.log");
  CHECK(segment_name(Lsn(268435456)) == "00000000000268435456.log");
  CHECK(parse_segment_name("00000000000268435456.log") == Lsn(268435456));
  CHECK_FALSE(parse_segment_name("268435456.log"));
  CHECK_FALSE(parse_segment_name("0000000000026843545x.log"));
  CHECK_FALSE(parse_segment_name("99999999999999999999.log"));
  CHECK_FALSE(parse_segment_name("00000000000268435456.lock"));
}

}  // namespace
}  // namespace tally::store
