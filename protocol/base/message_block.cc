#include "protocol/base/message_block.h"

#include "protocol/base/bytes.h"
#include "protocol/base/checksum.h"
#include "protocol/base/limits.h"

namespace tally {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kBornAt = 16;  // the only field of the header that is not content
constexpr std::size_t kPropertyHeaderBytes = 3;

Error bad_block(const char* why) { return {ErrorCode::kBadMessageBlock, why}; }

Error too_large(ErrorCode code, const char* what, std::size_t size, std::size_t max) {
  return {code, std::string{what} + " " + std::to_string(size) + ", at most " +
                    std::to_string(max) + " are allowed"};
}

Result<void> check_properties(std::string_view bytes, std::size_t count) {
  ByteReader reader(bytes);
  for (std::size_t i = 0; i < count; ++i) {
    auto name_bytes = reader.get<std::uint8_t>();
    auto value_bytes = reader.get<std::uint16_t>();
    if (reader.ok() && name_bytes == 0) return bad_block("a property has no name");
    reader.get_bytes(name_bytes);
    reader.get_bytes(value_bytes);
  }
  if (!reader.done()) return bad_block("the properties do not fill their length");
  return {};
}

// The encoded size of the properties, or why they cannot be encoded.
Result<std::size_t> measure_properties(const std::vector<Property>& properties) {
  if (properties.size() > limits::kPropertiesMax) {
    return too_large(ErrorCode::kPropertiesTooLarge, "number of properties:", properties.size(),
                     limits::kPropertiesMax);
  }
  std::size_t size = 0;
  for (const Property& property : properties) {
    if (property.name.empty()) {
      return Error{ErrorCode::kInvalidArgument, "a property has an empty name"};
    }
    if (property.name.size() > limits::kFieldBytesMax) {
      return too_large(ErrorCode::kFieldTooLong,
                       "bytes of a property's name:", property.name.size(), limits::kFieldBytesMax);
    }
    size += kPropertyHeaderBytes + property.name.size() + property.value.size();
  }
  if (size > limits::kPropertiesBytesMax) {
    return too_large(ErrorCode::kPropertiesTooLarge, "bytes of properties:", size,
                     limits::kPropertiesBytesMax);
  }
  return size;
}

Result<void> check_field(const char* what, std::string_view field) {
  if (field.size() <= limits::kFieldBytesMax) return {};
  return too_large(ErrorCode::kFieldTooLong, what, field.size(), limits::kFieldBytesMax);
}

}  // namespace

Result<MessageBlock> MessageBlock::parse(std::string_view bytes) {
  if (bytes.size() < kMessageBlockBytesMin) return bad_block("it is shorter than its header");
  ByteReader header(bytes.substr(0, kMessageBlockHeaderBytes));
  if (header.get<std::uint8_t>() != kVersion) return bad_block("its version is unknown");
  if (header.get<std::uint8_t>() != 0) return bad_block("its flags are not zero");
  std::size_t key_bytes = header.get<std::uint8_t>();
  std::size_t tag_bytes = header.get<std::uint8_t>();
  std::size_t group_bytes = header.get<std::uint8_t>();
  std::size_t property_count = header.get<std::uint8_t>();
  std::size_t properties_bytes = header.get<std::uint16_t>();
  std::size_t body_bytes = header.get<std::uint32_t>();
  if (header.get<std::uint32_t>() != 0) return bad_block("its reserved bytes are not zero");
  if (body_bytes > limits::kBodyBytesMax) {
    return too_large(ErrorCode::kMessageTooLarge, "bytes of the body:", body_bytes,
                     limits::kBodyBytesMax);
  }
  if (properties_bytes > limits::kPropertiesBytesMax) {
    return too_large(ErrorCode::kPropertiesTooLarge, "bytes of properties:", properties_bytes,
                     limits::kPropertiesBytesMax);
  }
  if (property_count > limits::kPropertiesMax) {
    return too_large(ErrorCode::kPropertiesTooLarge, "number of properties:", property_count,
                     limits::kPropertiesMax);
  }
  std::size_t content = key_bytes + tag_bytes + group_bytes + properties_bytes + body_bytes;
  if (bytes.size() != kMessageBlockBytesMin + content) {
    return bad_block("its lengths do not add up");
  }
  MessageBlock block;
  block.bytes_ = bytes;
  if (tally::checksum(bytes.substr(0, bytes.size() - kMessageBlockTrailerBytes)) !=
      block.checksum()) {
    return bad_block("its checksum is wrong");
  }
  ByteReader fields(bytes.substr(kMessageBlockHeaderBytes));
  block.key_ = fields.get_bytes(key_bytes);
  block.tag_ = fields.get_bytes(tag_bytes);
  block.message_group_ = fields.get_bytes(group_bytes);
  block.properties_ = fields.get_bytes(properties_bytes);
  block.body_ = fields.get_bytes(body_bytes);
  TALLY_TRY_VOID(check_properties(block.properties_, property_count));
  return block;
}

std::int64_t MessageBlock::born_ms() const { return load_le<std::int64_t>(&bytes_[kBornAt]); }

std::uint64_t MessageBlock::checksum() const {
  return load_le<std::uint64_t>(&bytes_[bytes_.size() - kMessageBlockTrailerBytes]);
}

std::vector<Property> MessageBlock::properties() const {
  std::vector<Property> properties;
  ByteReader reader(properties_);
  while (reader.left() > 0) {
    auto name_bytes = reader.get<std::uint8_t>();
    auto value_bytes = reader.get<std::uint16_t>();
    Property& property = properties.emplace_back();
    property.name = reader.get_bytes(name_bytes);
    property.value = reader.get_bytes(value_bytes);
  }
  return properties;
}

std::uint64_t MessageBlock::content_digest() const {
  std::string_view content = bytes_.substr(kMessageBlockHeaderBytes);
  content.remove_suffix(kMessageBlockTrailerBytes);
  return tally::checksum(content, tally::checksum(bytes_.substr(0, kBornAt)));
}

std::uint32_t MessageBlock::route_hash() const {
  return hash32(message_group_.empty() ? key_ : message_group_);
}

std::uint32_t MessageBlock::tag_hash() const { return hash32(tag_); }

Result<void> append_message_block(const Message& message, std::int64_t born_ms, std::string& out) {
  TALLY_TRY_VOID(check_field("bytes of the key:", message.key));
  TALLY_TRY_VOID(check_field("bytes of the tag:", message.tag));
  TALLY_TRY_VOID(check_field("bytes of the message group:", message.message_group));
  TALLY_TRY(std::size_t properties_bytes, measure_properties(message.properties));
  if (message.body.size() > limits::kBodyBytesMax) {
    return too_large(ErrorCode::kMessageTooLarge, "bytes of the body:", message.body.size(),
                     limits::kBodyBytesMax);
  }
  std::size_t start = out.size();
  out.reserve(start + kMessageBlockBytesMin + message.key.size() + message.tag.size() +
              message.message_group.size() + properties_bytes + message.body.size());
  ByteWriter writer(out);
  writer.put(kVersion);
  writer.put(std::uint8_t{0});
  writer.put(static_cast<std::uint8_t>(message.key.size()));
  writer.put(static_cast<std::uint8_t>(message.tag.size()));
  writer.put(static_cast<std::uint8_t>(message.message_group.size()));
  writer.put(static_cast<std::uint8_t>(message.properties.size()));
  writer.put(static_cast<std::uint16_t>(properties_bytes));
  writer.put(static_cast<std::uint32_t>(message.body.size()));
  writer.put(std::uint32_t{0});
  writer.put(born_ms);
  writer.put_bytes(message.key);
  writer.put_bytes(message.tag);
  writer.put_bytes(message.message_group);
  for (const Property& property : message.properties) {
    writer.put(static_cast<std::uint8_t>(property.name.size()));
    writer.put(static_cast<std::uint16_t>(property.value.size()));
    writer.put_bytes(property.name);
    writer.put_bytes(property.value);
  }
  writer.put_bytes(message.body);
  writer.put(checksum(std::string_view{out}.substr(start)));
  return {};
}

Message to_message(const MessageBlock& block, std::string_view topic) {
  Message message;
  message.topic = topic;
  message.key = block.key();
  message.tag = block.tag();
  message.message_group = block.message_group();
  message.properties = block.properties();
  message.body = block.body();
  return message;
}

}  // namespace tally
