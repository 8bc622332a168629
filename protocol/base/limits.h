#pragma once
// Every limit of Tally in one place. Sizes in bytes, times in milliseconds. A limit that can be
// configured stands here with its default; the broker's effective values travel in the answer to
// Hello.

#include <cstddef>
#include <cstdint>

namespace tally::limits {

inline constexpr std::size_t kBodyBytesMax = 4u << 20;
inline constexpr std::size_t kPropertiesBytesMax = 16u << 10;
inline constexpr std::size_t kPropertiesMax = 128;
inline constexpr std::size_t kNameBytesMax = 127;   // topic and group names
inline constexpr std::size_t kFieldBytesMax = 255;  // key, tag, message group, transaction id
inline constexpr std::size_t kReasonBytesMax = 1024;
inline constexpr std::uint32_t kTransactionMessagesMax = 64;
inline constexpr std::size_t kTransactionBytesMax = 16u << 20;

inline constexpr std::size_t kFrameBytesBeforeHelloMax = 4u << 10;
inline constexpr std::size_t kFrameBytesMax = 17u << 20;
/// Of a request's protobuf header: bounds what decoding it can allocate.
inline constexpr std::size_t kRequestHeaderBytesMax = 64u << 10;
inline constexpr std::int64_t kHelloMs = 5'000;
inline constexpr std::int64_t kFrameMs = 10'000;
inline constexpr std::int64_t kPingMs = 30'000;
inline constexpr int kPingsMissedMax = 3;
inline constexpr std::uint32_t kWindow = 1'024;  // requests in flight per connection
inline constexpr std::uint32_t kConnectionsMax = 10'000;
inline constexpr std::uint32_t kConnectionsBeforeHelloPerAddressMax = 256;

inline constexpr std::int64_t kClosingMs = 1'000;  // to write what is left and see the peer close
inline constexpr std::size_t kUnsentSoftBytes = 1u << 20;     // above: not read from, grants wait
inline constexpr std::size_t kUnsentBytesMax = 64u << 20;     // above: closed as too slow a reader
inline constexpr std::size_t kReceiveMemoryMax = 256u << 20;  // of the broker, for received bytes

inline constexpr std::uint32_t kQueuesDefault = 4;
inline constexpr std::uint32_t kQueuesMax = 1'024;
inline constexpr std::uint32_t kTopicsMax = 10'000;
inline constexpr std::uint32_t kGroupsMax = 10'000;

inline constexpr std::int64_t kFirstCheckMs = 10'000;
inline constexpr std::int64_t kCheckBackoffMaxMs = 300'000;
inline constexpr std::int64_t kCheckAnswerMs =
    5'000;  // a check without answer counts as UNKNOWN after this
inline constexpr std::uint32_t kCheckBudget = 15;
inline constexpr std::int64_t kTransactionLifetimeMs = 24 * 3'600'000LL;
/// The most that one PREPARE may ask for, also as delay of its first check.
inline constexpr std::int64_t kTransactionLifetimeMsMax = 30 * 24 * 3'600'000LL;
/// Between databases' clocks, producers' and the broker's: so much longer than the lifetime a barrier row stays.
inline constexpr std::int64_t kBarrierMarginMs = 600'000;
inline constexpr std::uint32_t kFindFinalMax = 1'024;  // transactions of one FindFinal
inline constexpr std::uint32_t kCheckBudgetMax = 1'000;
inline constexpr std::uint32_t kProducerGroupsMax = 10'000;        // with settings of their own
inline constexpr std::int64_t kAgeMsMax = 365 * 24 * 3'600'000LL;  // that one can ask for
inline constexpr std::uint32_t kCheckerStoresMax = 1'024;          // of one RegisterChecker

inline constexpr std::int64_t kLeaseMs = 30'000;
inline constexpr std::int64_t kLeaseMsMin = 100;
inline constexpr std::int64_t kLeaseMsMax = 12 * 3'600'000LL;
inline constexpr std::uint32_t kAttemptsMax = 16;
inline constexpr std::int64_t kRetryBackoffMs = 1'000;
inline constexpr std::int64_t kRetryBackoffMaxMs = 2 * 3'600'000LL;
inline constexpr std::int64_t kNackDelayMsMax = 12 * 3'600'000LL;
inline constexpr std::uint32_t kReceiveMessagesMax = 1'024;
inline constexpr std::size_t kReceiveBytesMax =
    8u << 20;  // of one answer; a single larger message still fits alone
inline constexpr std::int64_t kReceiveWaitMsMax = 60'000;
inline constexpr std::uint32_t kSettleItemsMax = 1'024;
inline constexpr std::uint32_t kListPageMax = 1'000;

inline constexpr std::uint64_t kSegmentBytes = 256ull << 20;
inline constexpr std::uint64_t kSegmentBytesMin = 1ull << 20;
inline constexpr std::uint64_t kLogBytesInFlightMax = 64ull << 20;
inline constexpr std::uint64_t kEntryBytesMax =
    4ull << 20;  // an entry is closed here; one larger record stands alone
inline constexpr std::uint64_t kCheckpointBytes = 64ull << 20;
inline constexpr std::int64_t kCheckpointMs = 1'000;
inline constexpr std::uint64_t kCheckpointLagBytesMax = 512ull << 20;
inline constexpr std::int64_t kIdleMarkMs = 100;
inline constexpr std::int64_t kRetentionMs = 72 * 3'600'000LL;
inline constexpr std::int64_t kRetentionMsMax = 3'650 * 24 * 3'600'000LL;  // ten years

}  // namespace tally::limits
