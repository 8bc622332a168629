#include "protocol/base/message_block.h"

#include <catch2/catch.hpp>

#include "protocol/base/bytes.h"
#include "protocol/base/checksum.h"
#include "protocol/base/limits.h"

namespace tally {
namespace {

constexpr std::int64_t kBornMs = 1'700'000'000'123;

Message full_message() {
  return {.topic = "order.created",
          .key = "42",
          .tag = "new",
          .message_group = "customer-7",
          .properties = {{"trace", "a1b2"}, {"empty", ""}},
          .body = "{\"id\":42,\"price\":\"9.99 €\"}"};
}

std::string encode(const Message& message, std::int64_t born_ms = kBornMs) {
  std::string block;
  append_message_block(message, born_ms, block).value();
  return block;
}

// The block with `bytes` written over it at `at`, its checksum made right again.
std::string altered(std::string block, std::size_t at, std::string_view bytes) {
  block.replace(at, bytes.size(), bytes);
  std::size_t content = block.size() - kMessageBlockTrailerBytes;
  store_le(block.data() + content, checksum(std::string_view{block}.substr(0, content)));
  return block;
}

ErrorCode parse_error(std::string_view bytes) {
  auto parsed = MessageBlock::parse(bytes);
  return parsed ? ErrorCode::kOk : parsed.error().code;
}

ErrorCode encode_error(const Message& message) {
  std::string out = "before";
  auto appended = append_message_block(message, kBornMs, out);
  CHECK((appended.has_value() || out == "before"));
  return appended ? ErrorCode::kOk : appended.error().code;
}

}  // namespace

TEST_CASE("a message comes back from its block") {
  Message message = full_message();
  std::string bytes = encode(message);
  MessageBlock block = MessageBlock::parse(bytes).value();
  CHECK(block.bytes() == bytes);
  CHECK(block.key() == message.key);
  CHECK(block.tag() == message.tag);
  CHECK(block.message_group() == message.message_group);
  CHECK(block.properties() == message.properties);
  CHECK(block.body() == message.body);
  CHECK(block.born_ms() == kBornMs);
  CHECK(to_message(block, message.topic) == message);
}

TEST_CASE("an empty message has the smallest block") {
  std::string bytes = encode({});
  CHECK(bytes.size() == kMessageBlockBytesMin);
  CHECK(to_message(MessageBlock::parse(bytes).value(), "") == Message{});
}

TEST_CASE("blocks are appended one after the other") {
  std::string out;
  append_message_block(full_message(), kBornMs, out).value();
  std::size_t first = out.size();
  append_message_block({.body = "second"}, kBornMs, out).value();
  CHECK(MessageBlock::parse(std::string_view{out}.substr(0, first)).value().key() == "42");
  CHECK(MessageBlock::parse(std::string_view{out}.substr(first)).value().body() == "second");
}

TEST_CASE("a flipped bit anywhere in a block is found") {
  std::string bytes = encode(full_message());
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
      CAPTURE(at, bit);
      REQUIRE(parse_error(flipped) != ErrorCode::kOk);
    }
  }
}

TEST_CASE("a block cut short or followed by more bytes is refused") {
  std::string bytes = encode(full_message());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    REQUIRE(parse_error(std::string_view{bytes}.substr(0, size)) == ErrorCode::kBadMessageBlock);
  }
  CHECK(parse_error(bytes + '\0') == ErrorCode::kBadMessageBlock);
}

TEST_CASE("a block whose checksum is right but whose layout is wrong is refused") {
  std::string bytes = encode(full_message());
  constexpr std::size_t kPropertiesAt = kMessageBlockHeaderBytes + 2 + 3 + 10;
  REQUIRE(parse_error(altered(bytes, 0, "\x01")) == ErrorCode::kOk);
  CHECK(parse_error(altered(bytes, 0, "\x02")) == ErrorCode::kBadMessageBlock);   // version
  CHECK(parse_error(altered(bytes, 1, "\x01")) == ErrorCode::kBadMessageBlock);   // flags
  CHECK(parse_error(altered(bytes, 12, "\x01")) == ErrorCode::kBadMessageBlock);  // reserved
  CHECK(parse_error(altered(bytes, 5, "\x01")) == ErrorCode::kBadMessageBlock);   // count
  CHECK(parse_error(altered(bytes, 5, "\x03")) == ErrorCode::kBadMessageBlock);   // count
  CHECK(parse_error(altered(bytes, 2, "\x03")) == ErrorCode::kBadMessageBlock);   // key length
  CHECK(parse_error(altered(bytes, kPropertiesAt, std::string_view{"\x00", 1})) ==
        ErrorCode::kBadMessageBlock);  // a property without name
  CHECK(parse_error(altered(bytes, kPropertiesAt, "\xff")) == ErrorCode::kBadMessageBlock);
}

TEST_CASE("a block that announces more than a limit is refused by the limit's name") {
  std::string bytes = encode({});
  auto with = [&bytes](std::size_t at, auto value) {
    char raw[sizeof value];
    store_le(raw, value);
    return parse_error(altered(bytes, at, {raw, sizeof raw}));
  };
  CHECK(with(8, std::uint32_t{limits::kBodyBytesMax + 1}) == ErrorCode::kMessageTooLarge);
  CHECK(with(6, std::uint16_t{limits::kPropertiesBytesMax + 1}) == ErrorCode::kPropertiesTooLarge);
  CHECK(with(5, std::uint8_t{limits::kPropertiesMax + 1}) == ErrorCode::kPropertiesTooLarge);
}

TEST_CASE("a message at each limit has a block, one over it has none") {
  std::string longest(limits::kFieldBytesMax, 'x');
  std::string too_long = longest + 'x';
  for (std::string Message::*field : {&Message::key, &Message::tag, &Message::message_group}) {
    Message message;
    message.*field = longest;
    CHECK(to_message(MessageBlock::parse(encode(message)).value(), "") == message);
    message.*field = too_long;
    CHECK(encode_error(message) == ErrorCode::kFieldTooLong);
  }
  CHECK(encode_error({.body = std::string(limits::kBodyBytesMax, 'x')}) == ErrorCode::kOk);
  CHECK(encode_error({.body = std::string(limits::kBodyBytesMax + 1, 'x')}) ==
        ErrorCode::kMessageTooLarge);
  CHECK(encode_error({.properties = {{longest, ""}}}) == ErrorCode::kOk);
  CHECK(encode_error({.properties = {{too_long, ""}}}) == ErrorCode::kFieldTooLong);
  CHECK(encode_error({.properties = {{"", "value"}}}) == ErrorCode::kInvalidArgument);

  Message many{.properties = std::vector<Property>(limits::kPropertiesMax, {"n", "v"})};
  CHECK(to_message(MessageBlock::parse(encode(many)).value(), "") == many);
  many.properties.push_back({"n", "v"});
  CHECK(encode_error(many) == ErrorCode::kPropertiesTooLarge);

  // Three bytes of lengths and one of the name count too.
  Message wide{.properties = {{"n", std::string(limits::kPropertiesBytesMax - 4, 'v')}}};
  CHECK(to_message(MessageBlock::parse(encode(wide)).value(), "") == wide);
  wide.properties[0].value += 'v';
  CHECK(encode_error(wide) == ErrorCode::kPropertiesTooLarge);
}

TEST_CASE("the digest of the content changes with every part of it but not with the born time") {
  auto digest = [](const Message& message, std::int64_t born_ms = kBornMs) {
    std::string bytes = encode(message, born_ms);
    return MessageBlock::parse(bytes).value().content_digest();
  };
  Message message = full_message();
  std::uint64_t original = digest(message);
  CHECK(original == 0x22035902f4c97ba1);  // as tests/format/golden/block-full.json has it
  CHECK(digest(message, kBornMs + 1) == original);
  for (std::string Message::*field :
       {&Message::key, &Message::tag, &Message::message_group, &Message::body}) {
    Message changed = message;
    changed.*field += 'x';
    CHECK(digest(changed) != original);
  }
  Message changed = message;
  changed.properties[1].value = "x";
  CHECK(digest(changed) != original);
  Message moved = message;  // the same bytes in a row, cut differently
  moved.key = "4";
  moved.tag = "2new";
  CHECK(digest(moved) != original);
}

TEST_CASE("a message is routed by its message group, or else by its key") {
  auto route = [](const Message& message) {
    std::string bytes = encode(message);
    return MessageBlock::parse(bytes).value().route_hash();
  };
  CHECK(route({}) == 0);
  CHECK(route({.key = "k"}) == hash32("k"));
  CHECK(route({.message_group = "g"}) == hash32("g"));
  CHECK(route({.key = "k", .message_group = "g"}) == hash32("g"));
  std::string tagged = encode({.tag = "t"});
  CHECK(MessageBlock::parse(tagged).value().tag_hash() == hash32("t"));
}

}  // namespace tally
