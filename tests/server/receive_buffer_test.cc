#include "broker/server/receive_buffer.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <vector>

namespace tally::broker {
namespace {

constexpr std::size_t kPoolBytes = 16u << 20;

/// Reads `bytes` into the buffer as the socket would, and returns all that is there.
std::string_view read(ReceiveBuffer& buffer, std::string_view bytes) {
  const auto space = buffer.space();
  REQUIRE(space.size() >= bytes.size());
  std::memcpy(space.data(), bytes.data(), bytes.size());
  return buffer.received(bytes.size());
}

}  // namespace

TEST_CASE("what is left of a frame stands in front of the next read") {
  ChunkPool pool(kPoolBytes);
  ChunkSource source(pool);
  ReceiveBuffer buffer(source);
  CHECK(read(buffer, "first,sec") == "first,sec");
  buffer.keep_rest(6, 32, false);
  CHECK(buffer.has_rest());
  CHECK(read(buffer, "ond,") == "second,");
  buffer.keep_rest(7, 32, false);
  CHECK_FALSE(buffer.has_rest());
}

TEST_CASE("bytes that somebody points into stay as they are") {
  ChunkPool pool(kPoolBytes);
  ChunkSource source(pool);
  ReceiveBuffer one(source), other(source);
  const std::string_view kept = read(one, std::string(100, 'a'));
  const store::Keepalive keepalive = one.bytes_kept_by();
  one.keep_rest(100, 32, true);
  for (int i = 0; i < 2'000; ++i) {
    read(other, std::string(1'000, 'b'));
    other.keep_rest(1'000, 32, true);
  }
  CHECK(kept == std::string(100, 'a'));
}

TEST_CASE("a frame longer than a chunk arrives whole, in a chunk of its own") {
  ChunkPool pool(kPoolBytes);
  ChunkSource source(pool);
  ReceiveBuffer buffer(source);
  const std::string frame(3u << 20, 'x');
  read(buffer, std::string_view(frame).substr(0, 50'000));
  buffer.keep_rest(0, frame.size(), false);
  std::size_t there = 50'000;
  while (there < frame.size()) {
    const std::size_t size = std::min<std::size_t>(buffer.space().size(), 300'000);
    REQUIRE(size > 0);
    const auto all = read(buffer, std::string_view(frame).substr(there, size));
    there += size;
    REQUIRE(all.size() == there);
    if (there == frame.size()) CHECK(all == frame);
    buffer.keep_rest(there == frame.size() ? there : 0, frame.size(), true);
  }
  CHECK_FALSE(buffer.has_rest());
}

TEST_CASE("a connection at rest and the chunks nobody needs hold little memory") {
  ChunkPool pool(kPoolBytes);
  ChunkSource source(pool);
  {
    std::vector<store::Keepalive> in_log;
    ReceiveBuffer buffer(source);
    for (int i = 0; i < 20; ++i) {
      read(buffer, std::string(60'000, 'a'));
      in_log.push_back(buffer.bytes_kept_by());
      buffer.keep_rest(60'000, 32, true);
    }
    CHECK(pool.bytes_in_use() > 1u << 20);
  }
  CHECK(pool.bytes_in_use() <= 256u << 10);
}

TEST_CASE("announcing long frames takes no memory, and leaves room for short ones") {
  ChunkPool pool(kPoolBytes);
  ChunkSource source(pool);
  std::vector<std::unique_ptr<ReceiveBuffer>> liars;
  for (int i = 0; i < 1'000; ++i) {
    auto& buffer = *liars.emplace_back(std::make_unique<ReceiveBuffer>(source));
    read(buffer, "a frame of 17 MiB begins");
    buffer.keep_rest(0, 17u << 20, false);
    buffer.space();
  }
  CHECK(pool.bytes_in_use() <= kPoolBytes / 2 + (256u << 10));
  ReceiveBuffer honest(source);
  CHECK_FALSE(honest.space().empty());
}

TEST_CASE("over the pool's limit there is no space until bytes come back") {
  ChunkPool pool(1u << 20);
  ChunkSource source(pool);
  ReceiveBuffer buffer(source);
  std::vector<store::Keepalive> in_log;
  for (;;) {
    const auto space = buffer.space();
    if (space.empty()) break;
    const std::size_t size = space.size();
    buffer.received(size);
    in_log.push_back(buffer.bytes_kept_by());
    buffer.keep_rest(size, 32, true);
  }
  CHECK(pool.bytes_in_use() == 1u << 20);
  in_log.clear();
  CHECK_FALSE(buffer.space().empty());
}

}  // namespace tally::broker
