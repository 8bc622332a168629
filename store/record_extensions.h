#pragma once
// The extension area of each record type: its fields as a value, encoded and decoded. Byte tables
// in store/README.md. encode appends to `out`; decode gives nothing when the bytes do not match the
// table exactly.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tally/error.hpp>
#include <tally/ids.hpp>
#include <vector>

#include "protocol/base/check_settings.h"
#include "store/record.h"

namespace tally::store {

/// Settings that apply reads. Written when the effective ones differ from the newest in the log.
struct ConfigExtension {
  std::int64_t first_check_ms = 0;
  std::int64_t check_backoff_max_ms = 0;
  std::uint32_t check_budget = 0;
  std::int64_t transaction_lifetime_ms = 0;
  std::uint32_t attempts_max = 0;
  std::int64_t retry_backoff_ms = 0;
  std::int64_t retry_backoff_max_ms = 0;
  bool operator==(const ConfigExtension&) const = default;
  static constexpr RecordType kType = RecordType::kConfig;
};

/// Header topic: the uid. A topic is made once; its uid is chosen at admission and never used
/// again. Flag bit 0 of the header: the topic has its own retention; bit 1: settings of checks.
struct TopicChangeExtension {
  std::uint32_t queues = 0;
  std::string name{};
  std::int64_t retention_ms = 0;  ///< 0: the broker's
  CheckSettings checks{};
  static constexpr RecordType kType = RecordType::kTopicChange;
  static constexpr std::uint8_t kHasRetention = 1;
  static constexpr std::uint8_t kHasChecks = 2;
  std::uint8_t flags() const {
    return static_cast<std::uint8_t>((retention_ms != 0 ? kHasRetention : 0) |
                                     (checks != CheckSettings{} ? kHasChecks : 0));
  }  ///< for the record header
};

/// A consumer group begins to read a topic (header topic). Makes the group when its uid is new.
struct GroupChangeExtension {
  GroupUid group{};
  std::string name{};
  static constexpr RecordType kType = RecordType::kGroupChange;
};

/// From now on a producer group is checked so; settings that leave everything open take it away.
struct ProducerGroupChangeExtension {
  std::string_view name{};
  CheckSettings checks{};
  static constexpr RecordType kType = RecordType::kProducerGroupChange;
};

/// Flag bit 0 of the header: producer and sequence are there; bit 1: a digest of the content, too.
struct AppendExtension {
  std::uint32_t route_hash = 0;  ///< chooses the queue; 0: none, queues take turns
  std::uint32_t tag_hash = 0;
  std::uint64_t producer = 0;
  std::uint64_t sequence = 0;
  std::uint64_t content_digest = 0;  ///< only with a producer
  static constexpr RecordType kType = RecordType::kAppend;
  static constexpr std::uint8_t kHasProducer = 1;
  static constexpr std::uint8_t kHasDigest = 2;
  std::uint8_t flags() const {
    return static_cast<std::uint8_t>((producer != 0 ? kHasProducer : 0) |
                                     (producer != 0 && content_digest != 0 ? kHasDigest : 0));
  }  ///< for the record header
};

/// Flag bit 0 of the header: fresh; bit 1: later.
struct HalfExtension {
  std::uint32_t route_hash = 0;
  std::uint32_t tag_hash = 0;
  std::uint64_t content_digest = 0;
  std::uint32_t message = 1;        ///< number within the transaction
  std::int64_t first_check_ms = 0;  ///< effective, after the entry's time
  std::int64_t lifetime_ms = 0;     ///< effective
  StoreId store{};
  std::string_view transaction{};
  std::string_view group{};
  std::string_view client{};
  bool fresh = false;  ///< begins a transaction whose id was not looked up among decided ones
  static constexpr RecordType kType = RecordType::kHalf;
  /// Its transaction was known, or under way, when it was admitted: it begins none. What apply knows
  /// of decided transactions depends on where replay began.
  bool later = false;
  static constexpr std::uint8_t kFresh = 1;
  static constexpr std::uint8_t kLater = 2;
  std::uint8_t flags() const {
    return static_cast<std::uint8_t>((fresh ? kFresh : 0) | (later ? kLater : 0));
  }  ///< for the record header
};

/// Asks for a decision; apply says which one stands.
struct EndExtension {
  Decision decision{};
  Decider decider{};
  std::uint32_t messages = 0;  ///< 0: as many as stored
  Handle handle{};             ///< zero log id: none
  std::string_view transaction{};
  std::string_view group{};  ///< empty: not compared (operators, checks)
  std::string_view client{};
  std::string_view reason{};  ///< u16 length
  static constexpr RecordType kType = RecordType::kEnd;
};

struct CheckDeliveredExtension {
  std::uint32_t attempt = 0;
  std::string_view transaction{};
  std::string_view client{};
  static constexpr RecordType kType = RecordType::kCheckDelivered;
};

/// A check was answered UNKNOWN (the other answers are ENDs). It belongs to the newest delivered
/// check of that client that has no answer.
struct CheckAnsweredExtension {
  std::string_view transaction{};
  std::string_view client{};
  std::string_view reason{};
  static constexpr RecordType kType = RecordType::kCheckAnswered;
};

struct ParkExtension {
  std::string_view transaction{};
  std::string_view reason{};
  static constexpr RecordType kType = RecordType::kPark;
};

struct ResumeExtension {
  std::string_view transaction{};
  std::string_view reason{};
  static constexpr RecordType kType = RecordType::kResume;
};

/// One item of Settle and LeaseExpired. Header topic: the topic.
struct SettleEntry {
  std::uint8_t action = 0;  ///< tally::SettleAction; LeaseExpired: kNack
  std::uint32_t queue = 0;
  std::uint64_t offset = 0;
  std::uint32_t attempt = 0;
  std::int64_t delay_ms = -1;  ///< nack: -1 is the group's back-off
};
inline constexpr std::size_t kSettleEntryBytes = 25;
struct SettleExtension {
  GroupUid group{};
  std::vector<SettleEntry> items{};
};

/// What is no longer kept. Header topic: whose queues; 0: only the horizon moves. Flag bit 0 of the
/// header: the time is there.
struct RetainFloor {
  std::uint32_t queue = 0;
  std::uint64_t first = 0;  ///< the queue's earliest offset from now on
  bool operator==(const RetainFloor&) const = default;
};
inline constexpr std::size_t kRetainFloorBytes = 12;
struct RetainExtension {
  /// Decisions of ENDs before it are no longer known; 0: unchanged. Neither value moves backwards.
  Lsn horizon{};
  std::vector<RetainFloor> floors{};
  std::int64_t horizon_ms = 0;  ///< time of the entry at the horizon
  static constexpr RecordType kType = RecordType::kRetain;
  static constexpr std::uint8_t kHasTime = 1;
  std::uint8_t flags() const {
    return horizon_ms != 0 ? kHasTime : std::uint8_t{0};
  }  ///< for the record header
};

/// How far the clock by which messages grow old is behind the time of the record's entry.
struct ClockExtension {
  std::int64_t behind_ms = 0;
  static constexpr RecordType kType = RecordType::kClock;
};

void encode(const ConfigExtension&, std::string& out);
void encode(const TopicChangeExtension&, std::string& out);
void encode(const GroupChangeExtension&, std::string& out);
void encode(const ProducerGroupChangeExtension&, std::string& out);
void encode(const AppendExtension&, std::string& out);
void encode(const HalfExtension&, std::string& out);
void encode(const EndExtension&, std::string& out);
void encode(const CheckDeliveredExtension&, std::string& out);
void encode(const CheckAnsweredExtension&, std::string& out);
void encode(const ParkExtension&, std::string& out);
void encode(const ResumeExtension&, std::string& out);
void encode(const SettleExtension&, std::string& out);
void encode(const RetainExtension&, std::string& out);
void encode(const ClockExtension&, std::string& out);

/// Views point into the extension's bytes.
template <typename Extension>
std::optional<Extension> decode(const RecordHeader& header, std::string_view extension);

}  // namespace tally::store
