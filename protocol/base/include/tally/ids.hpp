#pragma once
// Strong types for ids and positions. All are plain values.

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace tally {

/// An integer that cannot be mistaken for another one.
template <typename Tag, typename Int>
struct Id {
  using Value = Int;
  Int value{};
  constexpr Id() = default;
  constexpr explicit Id(Int v) : value(v) {}
  constexpr auto operator<=>(const Id&) const = default;
};

using Lsn = Id<struct LsnTag, std::uint64_t>;  ///< logical byte offset since the log began
using EntryIndex =
    Id<struct EntryIndexTag, std::uint64_t>;  ///< 1, 2, 3 … over entries; 0 is "before the first"
using Term = Id<struct TermTag, std::uint64_t>;
using ShardId = Id<struct ShardTag, std::uint32_t>;
using TopicUid = Id<struct TopicTag, std::uint32_t>;  ///< never reused; 0 is none
using GroupUid = Id<struct GroupTag, std::uint32_t>;  ///< consumer group; never reused; 0 is none
using QueueId = Id<struct QueueTag, std::uint32_t>;   ///< 0 … queues-1 of its topic
using Offset = Id<struct OffsetTag, std::uint64_t>;   ///< position in a queue, from 0, without gaps
using SessionId = Id<struct SessionTag, std::uint64_t>;
using RequestId = Id<struct RequestTag, std::uint64_t>;

/// 128 random bits: of a log (made with the data directory) or of a user's database (made by
/// migrate()).
template <typename Tag>
struct Id128 {
  std::array<std::uint8_t, 16> bytes{};
  constexpr auto operator<=>(const Id128&) const = default;
  bool is_zero() const { return *this == Id128{}; }
  std::string to_hex() const;  ///< 32 lower-case digits
  static std::optional<Id128> from_hex(std::string_view text);
  std::string_view view() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
};
using LogId = Id128<struct LogIdTag>;
using StoreId = Id128<struct StoreIdTag>;

/// Names a message for ever: stable over publication, retry and redelivery. Text form `<32
/// hex>-<LSN>`.
struct MessageUid {
  LogId log{};
  Lsn lsn{};
  auto operator<=>(const MessageUid&) const = default;
  std::string to_string() const;
  static std::optional<MessageUid> from_string(std::string_view text);
};

/// What PREPARE answers and END brings back: proves which half is meant.
struct Handle {
  LogId log{};
  Lsn lsn{};               ///< of the transaction's first half
  std::int64_t time_ms{};  ///< broker time of its entry
  bool operator==(const Handle&) const = default;
};

}  // namespace tally

template <typename Tag, typename Int>
struct std::hash<tally::Id<Tag, Int>> {
  std::size_t operator()(tally::Id<Tag, Int> id) const noexcept {
    return std::hash<Int>{}(id.value);
  }
};
