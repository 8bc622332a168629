#pragma once
// What happened in a run, as its observers saw it: one value per event. HistoryChecker judges a sequence of them.
//
// Clients' requests are calls: an ...Invoked event before the first byte leaves, later exactly one of ...Ok, Failed or
// Unanswered. All else is an observation. Plain values; integers of 0 and empty texts mean "not known" where it says so.

#include <cstdint>
#include <string>
#include <tally/error.hpp>
#include <variant>

#include "protocol/base/requests.h"

namespace tally::test {

using CallId = std::uint64_t;  ///< of one history; never used twice, not 0
/// Hash of a message's body. It names the message, so a harness gives every message a body of its own; retries of the same
/// message repeat it.
using Content = std::uint64_t;
using AppliedIndex = std::uint64_t;  ///< of the newest entry that the broker had applied

// --- calls -----------------------------------------------------------------------------------------------------------

struct SendInvoked {
  CallId call = 0;
  std::string topic{};
  Content content = 0;
  std::string message_group{};  ///< empty: no order is promised
  std::uint64_t producer = 0;   ///< 0: none, then every attempt may store one copy
  std::uint64_t sequence = 0;
};
struct PrepareInvoked {
  CallId call = 0;
  std::string transaction{};
  std::uint32_t message = 1;  ///< number within the transaction
  std::string topic{};
  Content content = 0;
  std::string message_group{};
};
/// END by a producer or an operator, or the answer to a check (then `challenge` is the check's).
struct EndInvoked {
  CallId call = 0;
  std::string transaction{};
  Decision decision{};  ///< kUnknown only in answers to checks
  Decider by = Decider::kProducer;
  std::uint32_t messages = 0;  ///< 0: as many as stored
  std::uint64_t challenge = 0;
};
/// One item; a batch of them is as many calls.
struct SettleInvoked {
  CallId call = 0;
  std::string group{};
  std::string topic{};
  std::uint32_t queue = 0;
  std::uint64_t offset = 0;
  std::uint32_t attempt = 0;
  SettleAction action = SettleAction::kAck;
};
/// Any other request; `lists_all` when it asks for all transactions, page by page as one call.
struct OtherInvoked {
  CallId call = 0;
  std::string operation{};  ///< for people: "show", "receive"
  bool lists_all = false;
};

struct SendOk {
  CallId call = 0;
  std::uint32_t queue = 0;
  std::uint64_t offset = 0;
  std::uint64_t message_lsn = 0;  ///< 0: not known
};
struct PrepareOk {
  CallId call = 0;
  std::int64_t prepared_at_ms = 0;     ///< broker time; 0: not known
  std::int64_t first_check_at_ms = 0;  ///< broker time; 0: not known
};
struct EndOk {
  CallId call = 0;
  Winner result{};  ///< pending or parked after the answer UNKNOWN to a check
  bool repeated = false;
};
struct SettleOk {
  CallId call = 0;
  AppliedIndex applied = 0;  ///< of the entry that settled
};
struct OtherOk {
  CallId call = 0;
};
/// A definite refusal: this call changed nothing.
struct Failed {
  CallId call = 0;
  ErrorCode code{};
  Winner winner{};  ///< with CONFLICT
};
/// TIMEOUT, DISCONNECTED and the like: it may have happened, and may happen yet.
struct Unanswered {
  CallId call = 0;
};

// --- producers -------------------------------------------------------------------------------------------------------

enum class Truth : std::uint8_t {
  kNone,        ///< nothing is known
  kCommitted,   ///< the business row is there
  kRolledBack,  ///< there is no business row and never will be
};
/// What the producer's own database says of a transaction; final once it is not kNone.
struct LocalOutcome {
  std::string transaction{};
  Truth truth{};
};

/// An operator is about to park or resume a transaction, or to have it checked: from here on the broker need not keep to the
/// times and counts of its own checks.
struct Managed {
  std::string transaction{};
};
/// The broker asks. From outside the broker: the moment the client reads the question.
struct CheckAsked {
  std::string transaction{};
  std::uint64_t challenge = 0;
  std::uint32_t attempt = 0;        ///< from 1
  std::int64_t broker_time_ms = 0;  ///< 0: not known
};
/// The client sent its receipt.
struct CheckReceived {
  std::uint64_t challenge = 0;
};

// --- consumers -------------------------------------------------------------------------------------------------------

/// From here on the group exists; it gets all that is retained then, and all that is published later.
struct Subscribed {
  std::string group{};
  std::string topic{};
};
struct Delivered {
  std::string group{};
  std::string topic{};
  std::uint32_t queue = 0;
  std::uint64_t offset = 0;
  std::uint32_t attempt = 0;
  AppliedIndex applied = 0;  ///< when it was granted
  Content content = 0;
  std::string message_group{};
  std::uint64_t message_lsn = 0;  ///< 0: not known
};
/// The broker gave up on a message for this group, by itself: after the last attempt.
struct DeadLettered {
  std::string group{};
  std::string topic{};
  std::uint32_t queue = 0;
  std::uint64_t offset = 0;
  AppliedIndex applied = 0;
};

// --- the broker ------------------------------------------------------------------------------------------------------

/// A message got its place, as the log tells. Optional: answers and deliveries tell it, too.
struct Published {
  std::string topic{};
  std::uint32_t queue = 0;
  std::uint64_t offset = 0;
  Content content = 0;
};
/// Retention: messages of the queue below `floor` are no longer delivered.
struct Trimmed {
  std::string topic{};
  std::uint32_t queue = 0;
  std::uint64_t floor = 0;
  std::int64_t published_before_ms = INT64_MAX;  ///< broker time: the cut of the retention time
};
/// How many messages the broker says the group lost by retention so far.
struct LostCount {
  std::string group{};
  std::string topic{};
  std::uint32_t queue = 0;
  std::uint64_t lost = 0;
};
/// Decisions of before this broker time may no longer be known.
struct Forgotten {
  std::int64_t decided_before_ms = 0;
};
/// How show, list or the log describe a transaction. Also how decisions of an operator or of a topic's automatic rollback
/// are told when no call of this history made them.
struct TransactionSeen {
  CallId call = 0;  ///< of the request that asked; 0: the log or the state itself, now
  std::string transaction{};
  TransactionState state{};
  Decider decided_by{};  ///< kNone: not known, or not decided
  std::int64_t decided_at_ms = 0;
  bool automatic = false;  ///< a topic's automatic rollback
  std::string reason{};
  std::uint32_t checks = 0;  ///< counted ones
};
/// A counter since the start of the broker, or a gauge: "sends", "halves", "commits", "rollbacks", "pending", "parked".
/// Others are ignored.
struct CounterSeen {
  CallId call = 0;  ///< of the request that asked; 0: now
  std::string name{};
  std::uint64_t value = 0;
};
enum class DigestOf : std::uint8_t {
  kLog,    ///< of all entries up to the index
  kState,  ///< of the applied state at the index, however it came to be: lived, restored or rebuilt
};
struct DigestSeen {
  DigestOf of{};
  AppliedIndex index = 0;
  std::uint64_t digest = 0;
};

// --- the run ---------------------------------------------------------------------------------------------------------

/// The broker noticed that the session of this event's process is gone. From outside: the process did.
struct Disconnected {};
/// The broker serves again after it ended; volatile state is gone.
struct Restarted {
  AppliedIndex applied = 0;  ///< recovered; 0: not known
};
/// Ends what an earlier Healed demanded.
struct Faulted {
  std::string what{};
};
/// No fault is left: an answered call has to follow within Limits::heal_ms.
struct Healed {};
/// All faults are over, checkers live, and every parked transaction was resumed: none may stay open.
struct Resumed {};
/// Every group received until nothing came any more. Without it nothing counts as lost.
struct Drained {};

using EventBody =
    std::variant<SendInvoked, PrepareInvoked, EndInvoked, SettleInvoked, OtherInvoked, SendOk,
                 PrepareOk, EndOk, SettleOk, OtherOk, Failed, Unanswered, LocalOutcome, Managed,
                 CheckAsked, CheckReceived, Subscribed, Delivered, DeadLettered, Published, Trimmed,
                 LostCount, Forgotten, TransactionSeen, CounterSeen, DigestSeen, Disconnected,
                 Restarted, Faulted, Healed, Resumed, Drained>;

struct Event {
  std::int64_t at_ms = 0;  ///< of one monotonic clock for all processes, or the simulation's
  std::string process{};   ///< who saw it
  EventBody what{};
};

}  // namespace tally::test
