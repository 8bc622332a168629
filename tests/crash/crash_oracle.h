#pragma once
// What clients were promised, kept outside of the broker, and the comparison with what it shows
// after a crash.
//
// Operation: a load notes what it asks for and what was acknowledged; close_books() is called right
// before power is cut, because a sync that waits at that moment may still return success. After the
// restart everything that is delivered is noted, too, and verdict() counts what does not fit.
// Where the broker gives up old messages, only what is younger must be there, and what is older may be
// missing only below the first offset that the broker names.
// Concurrency: thread-safe. Limits: memory grows with the number of messages, not with their size.

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tally/error.hpp>
#include <vector>

#include "protocol/base/clock.h"
#include "protocol/base/requests.h"
#include "store/entry.h"

namespace tally::test {

/// Bodies begin with their own number, so a delivered body tells which message it is.
class CrashOracle {
 public:
  using Number = std::uint64_t;

  /// `retention_ms`: of the brokers; 0: they keep everything.
  explicit CrashOracle(std::size_t body_bytes, std::int64_t retention_ms = 0,
                       const Clock& clock = system_clock())
      : body_bytes_(body_bytes), retention_ms_(retention_ms), clock_(clock) {}
  std::int64_t retention_ms() const { return retention_ms_; }

  std::string body(Number number) const;
  static std::string transaction_id(Number number) { return "t" + std::to_string(number); }

  Number begin_send();
  void send_acknowledged(Number number, const SendResponse& sent);

  Number begin_transaction(Decision decision);
  void half_acknowledged(Number number, const Handle& handle);
  /// A send or half was refused with a definite error: it must never appear.
  void refused(Number number);
  void end_asked(Number number);
  void end_acknowledged(Number number);

  /// The load's own group was given this: the number of the message, or nothing when it is none of
  /// ours.
  std::optional<Number> consumed(std::string_view body, const DeliveryHeader& delivery);
  void settle_acknowledged(Number number, std::uint32_t attempt, SettleAction action,
                           EntryIndex applied);

  /// From now on nothing counts as acknowledged.
  void close_books();
  void open_books();
  /// Whether the entry holds anything that was acknowledged, or stands before such an entry.
  bool promised(const store::EntryView& entry) const;

  /// No broker runs any more that gives up messages: their age counts at this moment.
  void retention_ends();
  /// The first offset that a queue still has.
  void floor(QueueId queue, Offset first);
  /// A group that reads everything once was given this.
  void audited(std::string_view body, const DeliveryHeader& delivery);

  struct Transaction {
    Number number = 0;
    std::string id{};
    Decision decision{};
    Handle handle{};
    bool end_asked = false, end_acknowledged = false;
    bool old = false;  ///< its decision may be forgotten
  };
  /// Those whose half was acknowledged.
  std::vector<Transaction> transactions() const;

  /// Also for what only the caller can see, such as a decision that changed.
  void lost(std::string what);
  void invented(std::string what);

  struct Verdict {
    std::uint64_t acknowledged = 0;  ///< sends, halves, ENDs and settles
    std::uint64_t lost = 0;      ///< acknowledged and not there, or a settled message granted again
    std::uint64_t invented = 0;  ///< never sent, not committed, given twice, or moved
    std::vector<std::string> examples{};
  };
  /// After the load's group and an auditing group have read everything.
  Verdict verdict() const;

 private:
  struct Message {
    bool transactional = false;
    bool sent = false;  ///< the send was acknowledged
    Lsn lsn{};          ///< known once the send or the half was acknowledged
    QueueId queue{};
    Offset offset{};
    Decision decision{};
    Handle handle{};
    std::int64_t at_ms = 0;  ///< of the newest answer or request that matters
    bool half = false, end_asked = false, end_acknowledged = false;
    bool consumed = false, settled = false;
    std::uint32_t attempt_least = 1;
    std::uint32_t audits = 0;
  };
  Number add(Message message);
  Message* find(std::string_view body, const DeliveryHeader& delivery);
  bool is_old(const Message& message) const;
  bool may_be_gone(const Message& message) const;
  void note(std::string what);

  const std::size_t body_bytes_;
  const std::int64_t retention_ms_;
  const Clock& clock_;
  mutable std::mutex mutex_{};  // guards the rest
  bool open_ = true;
  std::map<Number, Message> messages_{};
  std::map<QueueId, Offset> floors_{};
  std::int64_t retention_ended_ms_ = 0;
  Number next_ = 1;
  std::uint64_t acknowledged_ = 0, lost_ = 0, invented_ = 0;
  Lsn lsn_newest_{};             ///< of all acknowledged messages
  EntryIndex applied_newest_{};  ///< of all acknowledged settles
  std::vector<std::string> examples_{};
};

}  // namespace tally::test
