#pragma once
// What goes into the core and what comes out of it. Plain values; no I/O.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/limits.h"
#include "protocol/base/requests.h"
#include "store/entry.h"
#include "store/index_store.h"

namespace tally::broker {

/// The machine's time, read once per batch by the server.
struct Now {
  std::int64_t wall_ms = 0;
  std::int64_t boot_ms = 0;
};

/// Effective settings. Those that apply reads are written to the log as Config.
struct CoreOptions {
  std::int64_t first_check_ms = limits::kFirstCheckMs;
  std::int64_t check_backoff_max_ms = limits::kCheckBackoffMaxMs;
  std::int64_t check_answer_ms = limits::kCheckAnswerMs;
  std::uint32_t check_budget = limits::kCheckBudget;
  std::int64_t transaction_lifetime_ms = limits::kTransactionLifetimeMs;
  std::int64_t lease_ms = limits::kLeaseMs;
  std::uint32_t attempts_max = limits::kAttemptsMax;
  std::int64_t retry_backoff_ms = limits::kRetryBackoffMs;
  std::int64_t retry_backoff_max_ms = limits::kRetryBackoffMaxMs;
  std::uint32_t topics_max = limits::kTopicsMax;
  std::uint32_t groups_max = limits::kGroupsMax;
  std::uint64_t entry_bytes_max = limits::kEntryBytesMax;
  std::uint64_t log_bytes_in_flight_max = limits::kLogBytesInFlightMax;
  std::uint64_t checkpoint_bytes = limits::kCheckpointBytes;
  std::int64_t checkpoint_ms = limits::kCheckpointMs;
  std::uint64_t checkpoint_lag_bytes_max = limits::kCheckpointLagBytesMax;
  std::int64_t idle_mark_ms = limits::kIdleMarkMs;
  std::int64_t retention_ms = limits::kRetentionMs;
  std::uint64_t retention_bytes = UINT64_MAX;  ///< of the log; the server derives a default
  /// What the log's reserve holds for ENDs: halves are refused when the ENDs of all stored ones
  /// might need more.
  std::uint64_t end_bytes_max = UINT64_MAX;
};

/// A base that exists, as far as retention is concerned.
struct KnownBase {
  Lsn lsn{};            ///< of its position
  Lsn oldest_needed{};  ///< see store::BaseInfo
  std::int64_t time_ms = 0;
};

/// What may be removed for good: the Retain records that say so are durable and applied.
struct Cut {
  Lsn horizon{};    ///< bases before it, and decisions of ENDs before it
  Lsn keep_from{};  ///< segments that end at or before it
  bool operator==(const Cut&) const = default;
};

/// A client's request. Hello and Ping never get here: sessions answer them.
struct Command {
  SessionId session{};
  RequestId request{};
  Request body{};
  // Send and Prepare only; verified by the I/O thread.
  std::string_view block{};
  std::uint64_t block_checksum = 0;
  std::uint64_t content_digest = 0;  ///< of half messages and numbered ones
  std::uint32_t route_hash = 0;
  std::uint32_t tag_hash = 0;
};

/// An answer for an I/O thread to encode.
struct Reply {
  SessionId session{};
  RequestId request{};
  RequestKind kind{};
  Result<Response> result;
};

/// A message of a grant that is left out of the answer, because its bytes cannot be read. Its lease runs out.
struct DamagedMessage {
  GroupUid group{};
  TopicUid topic{};
  QueueId queue{};
  Offset offset{};
};

/// The answer to a Receive: the I/O thread reads the blocks and puts them behind the header, in order.
struct Grant {
  SessionId session{};
  RequestId request{};
  GroupUid group{};
  TopicUid topic{};
  ReceiveResponse response{};                 ///< block_bytes are filled in
  std::vector<std::uint32_t> record_bytes{};  ///< of each delivery, for LogReader

  /// Takes a delivery out that cannot be read.
  DamagedMessage drop(std::size_t delivery) {
    const auto at = static_cast<std::ptrdiff_t>(delivery);
    const DeliveryHeader& header = response.deliveries[delivery];
    const DamagedMessage dropped{group, topic, header.queue, header.offset};
    response.deliveries.erase(response.deliveries.begin() + at);
    record_bytes.erase(record_bytes.begin() + at);
    return dropped;
  }
};

/// A check to ask. The frame's request id is the challenge.
struct AskCheck {
  SessionId session{};
  CheckRequest request{};
};

/// What a group can no longer read: retention took it before the group had settled it. Told once, when the Retain record is
/// applied while serving.
struct Loss {
  std::string group{};
  std::string topic{};
  std::uint64_t messages = 0;
};

/// Keys to read from the index, answered by BrokerCore::loaded(). `to` empty: one key; else up to `limit` keys of [from, to).
struct Load {
  std::uint64_t ticket = 0;
  Lsn base{};  ///< not 0: from this base instead of the index; answered without rows when it is damaged or gone
  std::string from{};
  std::string to{};
  std::uint32_t limit = 0;
};
struct Loaded {
  std::uint64_t ticket = 0;
  std::vector<std::pair<std::string, std::string>> values{};  ///< found ones, ascending
};

/// What the core wants done, collected until the server takes it.
struct Effects {
  std::vector<Reply> replies{};
  std::vector<Grant> grants{};
  std::vector<AskCheck> checks{};
  std::vector<Load> loads{};
  /// A later cut includes every earlier one. The one of the newest horizon is given again at each start.
  std::optional<Cut> cut{};
  std::vector<Loss> losses{};
  bool empty() const {
    return replies.empty() && grants.empty() && checks.empty() && loads.empty() && !cut &&
           losses.empty();
  }
  void clear() {
    replies.clear(), grants.clear(), checks.clear(), loads.clear(), losses.clear();
    cut.reset();
  }
};

}  // namespace tally::broker
