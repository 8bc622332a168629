#include "store/entry.h"

#include <catch2/catch.hpp>

#include "store/entry_check.h"
#include "tests/store/log_fixture.h"

namespace tally::store {
namespace {

constexpr std::uint64_t kEpoch = 0x0123456789abcdef;

/// The bytes that the log would write.
std::string bytes_of(const Entry& entry, Lsn durable) {
  const EntryHeader& header = entry.header();
  std::string out(kEntryHeadBytes, '\0');
  Preamble::make(kEpoch, header.lsn, durable, header.checksum).store(out.data());
  header.store(out.data() + kPreambleBytes);
  for (const Entry::Piece& piece : entry.pieces()) {
    out.append(entry.heads().substr(piece.heads_offset, piece.heads_bytes)).append(piece.block);
  }
  return out.append(header.padding_bytes, '\0');
}

std::optional<Stop> check(std::string_view bytes, Lsn lsn, CheckedEntry& out,
                          std::optional<EntryIndex> index = {}) {
  const EntryPlace place{
      .lsn = lsn, .limit = Lsn(lsn.value + bytes.size()), .index = index, .segment_epoch = kEpoch};
  EntryHeader header;
  if (const auto stop = check_head(bytes.substr(0, kEntryHeadBytes), place, header)) return stop;
  return check_entry(bytes, place, header, out);
}

std::optional<Stop> check(std::string_view bytes, Lsn lsn) {
  CheckedEntry ignored;
  return check(bytes, lsn, ignored);
}

TEST_CASE("an entry reads back as it was made") {
  const auto made = testing::make_entry(EntryIndex(9), Lsn(4096), {"one", "", "three"});
  const std::string bytes = bytes_of(made->entry, Lsn(800));
  CheckedEntry read;
  REQUIRE_FALSE(check(bytes, Lsn(4096), read, EntryIndex(9)));
  CHECK(read.preamble.durable == Lsn(800));
  CHECK(read.view.header.index == EntryIndex(9));
  CHECK(read.view.header.term == Term(1));
  CHECK(read.view.header.time_ms == 1'000'009);
  CHECK(read.view.header.entry_bytes == bytes.size());
  REQUIRE(read.view.records.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(read.view.records[i].header.lsn == made->records[i]);
    CHECK(read.view.records[i].header.topic == TopicUid(7));
    CHECK(read.view.records[i].extension == "extended");
    CHECK(made->entry.view().records[i].extension == "extended");
  }
}

TEST_CASE("every flipped bit of an entry is found") {
  const auto made = testing::make_entry(EntryIndex(3), Lsn(80), {"a body", "another"});
  const std::string bytes = bytes_of(made->entry, Lsn(80));
  for (std::size_t at = 0; at < bytes.size() * 8; ++at) {
    std::string flipped = bytes;
    flipped[at / 8] = static_cast<char>(flipped[at / 8] ^ (1 << (at % 8)));
    CAPTURE(at);
    CHECK(check(flipped, Lsn(80)));
  }
}

TEST_CASE("an entry is bound to its position, its segment and its index") {
  const auto made = testing::make_entry(EntryIndex(3), Lsn(80), {"a body"});
  const std::string bytes = bytes_of(made->entry, Lsn(80));
  CheckedEntry read;
  CHECK_FALSE(check(bytes, Lsn(80), read, EntryIndex(3)));
  CHECK(check(bytes, Lsn(88)) == Stop::kBadHead);
  CHECK(check(bytes, Lsn(80), read, EntryIndex(4)) == Stop::kOutOfOrder);
  CHECK(witness_at(bytes, Lsn(80), kEpoch) == Lsn(80));
  CHECK_FALSE(witness_at(bytes, Lsn(80), kEpoch + 1));
  CHECK_FALSE(witness_at(bytes, Lsn(88), kEpoch));
}

TEST_CASE("an entry that claims its own bytes were durable before it is out of order") {
  const auto made = testing::make_entry(EntryIndex(3), Lsn(80), {"a body"});
  CHECK(check(bytes_of(made->entry, Lsn(88)), Lsn(80)) == Stop::kOutOfOrder);
}

TEST_CASE("a shortened entry is found at every length") {
  const auto made = testing::make_entry(EntryIndex(3), Lsn(0), {"a body"});
  const std::string bytes = bytes_of(made->entry, Lsn(0));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CHECK(check(std::string_view(bytes).substr(0, size), Lsn(0)));
  }
}

TEST_CASE("small entries end on 8 bytes and large ones on a page") {
  const auto small = testing::make_entry(EntryIndex(1), Lsn(0), {"x"});
  CHECK(small->entry.header().end().value % kEntryAlignment == 0);
  CHECK(small->entry.header().padding_bytes < kEntryAlignment);
  const auto large = testing::make_entry(EntryIndex(1), Lsn(1000), {std::string(20'000, 'x')});
  CHECK(large->entry.header().end().value % kPageBytes == 0);
}

TEST_CASE("a reused entry forgets what it held") {
  const auto made = testing::make_entry(EntryIndex(1), Lsn(0), {"x"});
  auto kept = std::make_shared<int>(1);
  Entry entry;
  entry.begin(EntryIndex(1), Term(1), Lsn(0));
  entry.keep(kept);
  entry.keep(kept);
  CHECK(kept.use_count() == 2);
  entry.add(RecordType::kMark, 0, TopicUid(), {});
  entry.seal(5);
  entry.begin(EntryIndex(2), Term(1), entry.header().end());
  CHECK(kept.use_count() == 1);
  CHECK(entry.empty());
  CHECK(entry.bytes() == kEntryHeadBytes);
}

TEST_CASE("record types have names, and only messages have blocks") {
  CHECK(name(RecordType::kAppend) == "Append");
  CHECK(is_known(RecordType::kLeaseExpired));
  CHECK_FALSE(is_known(RecordType(200)));
  CHECK(has_block(RecordType::kHalf));
  CHECK_FALSE(has_block(RecordType::kEnd));
}

}  // namespace
}  // namespace tally::store
