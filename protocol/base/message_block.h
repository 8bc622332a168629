#pragma once
// The message block: the bytes of one message, made by the SDK, stored and delivered as they are.
//
// Layout, little-endian, version 1 (byte table in protocol/README.md):
//    0  u8   version = 1
//    1  u8   flags = 0
//    2  u8   key length
//    3  u8   tag length
//    4  u8   message group length
//    5  u8   number of properties
//    6  u16  properties length, bytes
//    8  u32  body length, bytes
//   12  u32  reserved = 0
//   16  i64  born time, ms since the Unix epoch by the producer's clock (for people; never used in
//   decisions) 24  key, tag, message group, properties {u8 name length, u16 value length, name,
//   value}…, body
//  end  u64  XXH3-64 of everything before

#include <cstdint>
#include <string>
#include <string_view>
#include <tally/message.hpp>
#include <tally/result.hpp>
#include <vector>

namespace tally {

inline constexpr std::size_t kMessageBlockHeaderBytes = 24;
inline constexpr std::size_t kMessageBlockTrailerBytes = 8;
inline constexpr std::size_t kMessageBlockBytesMin =
    kMessageBlockHeaderBytes + kMessageBlockTrailerBytes;

/// A decoded block: views into the bytes it was made from, valid as long as they are.
class MessageBlock {
 public:
  /// Checks layout, limits and checksum. Errors: BAD_MESSAGE_BLOCK, MESSAGE_TOO_LARGE,
  /// PROPERTIES_TOO_LARGE.
  static Result<MessageBlock> parse(std::string_view bytes);

  std::string_view bytes() const { return bytes_; }
  std::string_view key() const { return key_; }
  std::string_view tag() const { return tag_; }
  std::string_view message_group() const { return message_group_; }
  std::string_view body() const { return body_; }
  std::int64_t born_ms() const;
  std::uint64_t checksum() const;  ///< as stored in the trailer
  std::vector<Property> properties() const;
  /// What makes the content of a message, everything but born time and trailer, in one number:
  /// XXH3-64 of bytes 24 to the trailer, with the XXH3-64 of bytes 0-15 as its seed.
  std::uint64_t content_digest() const;
  /// hash32 of the message group, else of the key; 0 when both are empty.
  std::uint32_t route_hash() const;
  std::uint32_t tag_hash() const;

 private:
  std::string_view bytes_, key_, tag_, message_group_, properties_, body_;
};

/// Appends the block of `message` (topic stands outside the block) to `out`. Nothing is appended on
/// error. Errors: MESSAGE_TOO_LARGE, PROPERTIES_TOO_LARGE, FIELD_TOO_LONG; INVALID_ARGUMENT for a
/// property without a name.
Result<void> append_message_block(const Message& message, std::int64_t born_ms, std::string& out);

/// The message of a block, its topic given.
Message to_message(const MessageBlock& block, std::string_view topic);

}  // namespace tally
