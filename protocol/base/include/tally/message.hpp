#pragma once
// What producers send and consumers get.

#include <cstdint>
#include <string>
#include <tally/ids.hpp>
#include <vector>

namespace tally {

/// A user property. Names 1 to 255 bytes; all together at most 16 KiB and 128 entries.
struct Property {
  std::string name{};
  std::string value{};
  bool operator==(const Property&) const = default;
};

/// A message as its producer writes it. Topic: `[A-Za-z0-9._-]{1,127}`. Key, tag, message group: at
/// most 255 bytes. Messages with the same non-empty message group (or else key) go to the same
/// queue. Body: at most 4 MiB.
struct Message {
  std::string topic{};
  std::string key{};
  std::string tag{};
  std::string message_group{};
  std::vector<Property> properties{};
  std::string body{};
  bool operator==(const Message&) const = default;
};

/// Where a message was stored.
struct SendReceipt {
  MessageUid id{};
  QueueId queue{};
  Offset offset{};
};

}  // namespace tally
