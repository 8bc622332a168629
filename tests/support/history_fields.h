#pragma once
// Names of events and of their fields, once for reading and writing. A visitor is called with name and value, and with the
// default where that is not the type's.

#include <type_traits>

#include "tests/support/history.h"

namespace tally::test {

/// `Event` may be const.
template <typename Event, typename Type>
concept IsEvent = std::is_same_v<std::remove_const_t<Event>, Type>;

#define TALLY_EVENT(Type, text, ...)                                        \
  constexpr const char* event_name(const Type*) { return text; }            \
  template <typename Visitor, IsEvent<Type> Event>                          \
  void fields([[maybe_unused]] Visitor& visit, [[maybe_unused]] Event& e) { \
    __VA_ARGS__                                                             \
  }

TALLY_EVENT(SendInvoked, "send_invoked", visit("call", e.call); visit("topic", e.topic);
            visit("content", e.content); visit("message_group", e.message_group);
            visit("producer", e.producer); visit("sequence", e.sequence);)
TALLY_EVENT(PrepareInvoked, "prepare_invoked", visit("call", e.call);
            visit("transaction", e.transaction); visit("message", e.message, 1u);
            visit("topic", e.topic); visit("content", e.content);
            visit("message_group", e.message_group);)
TALLY_EVENT(EndInvoked, "end_invoked", visit("call", e.call); visit("transaction", e.transaction);
            visit("decision", e.decision); visit("by", e.by, Decider::kProducer);
            visit("messages", e.messages); visit("challenge", e.challenge);)
TALLY_EVENT(SettleInvoked, "settle_invoked", visit("call", e.call); visit("group", e.group);
            visit("topic", e.topic); visit("queue", e.queue); visit("offset", e.offset);
            visit("attempt", e.attempt); visit("action", e.action, SettleAction::kAck);)
TALLY_EVENT(OtherInvoked, "other_invoked", visit("call", e.call); visit("operation", e.operation);
            visit("lists_all", e.lists_all);)
TALLY_EVENT(SendOk, "send_ok", visit("call", e.call); visit("queue", e.queue);
            visit("offset", e.offset); visit("message_lsn", e.message_lsn);)
TALLY_EVENT(PrepareOk, "prepare_ok", visit("call", e.call);
            visit("prepared_at_ms", e.prepared_at_ms);
            visit("first_check_at_ms", e.first_check_at_ms);)
TALLY_EVENT(EndOk, "end_ok", visit("call", e.call); visit("state", e.result.state);
            visit("decided_by", e.result.decided_by);
            visit("decided_at_ms", e.result.decided_at_ms); visit("repeated", e.repeated);)
TALLY_EVENT(SettleOk, "settle_ok", visit("call", e.call); visit("applied", e.applied);)
TALLY_EVENT(OtherOk, "other_ok", visit("call", e.call);)
TALLY_EVENT(Failed, "failed", visit("call", e.call); visit("code", e.code);
            visit("state", e.winner.state); visit("decided_by", e.winner.decided_by);
            visit("decided_at_ms", e.winner.decided_at_ms);)
TALLY_EVENT(Unanswered, "unanswered", visit("call", e.call);)
TALLY_EVENT(LocalOutcome, "local_outcome", visit("transaction", e.transaction);
            visit("truth", e.truth);)
TALLY_EVENT(Managed, "managed", visit("transaction", e.transaction);)
TALLY_EVENT(CheckAsked, "check_asked", visit("transaction", e.transaction);
            visit("challenge", e.challenge); visit("attempt", e.attempt);
            visit("broker_time_ms", e.broker_time_ms);)
TALLY_EVENT(CheckReceived, "check_received", visit("challenge", e.challenge);)
TALLY_EVENT(Subscribed, "subscribed", visit("group", e.group); visit("topic", e.topic);)
TALLY_EVENT(Delivered, "delivered", visit("group", e.group); visit("topic", e.topic);
            visit("queue", e.queue); visit("offset", e.offset); visit("attempt", e.attempt);
            visit("applied", e.applied); visit("content", e.content);
            visit("message_group", e.message_group); visit("message_lsn", e.message_lsn);)
TALLY_EVENT(DeadLettered, "dead_lettered", visit("group", e.group); visit("topic", e.topic);
            visit("queue", e.queue); visit("offset", e.offset); visit("applied", e.applied);)
TALLY_EVENT(Published, "published", visit("topic", e.topic); visit("queue", e.queue);
            visit("offset", e.offset); visit("content", e.content);)
TALLY_EVENT(Trimmed, "trimmed", visit("topic", e.topic); visit("queue", e.queue);
            visit("floor", e.floor);
            visit("published_before_ms", e.published_before_ms, std::int64_t{INT64_MAX});)
TALLY_EVENT(LostCount, "lost_count", visit("group", e.group); visit("topic", e.topic);
            visit("queue", e.queue); visit("lost", e.lost);)
TALLY_EVENT(Forgotten, "forgotten", visit("decided_before_ms", e.decided_before_ms);)
TALLY_EVENT(TransactionSeen, "transaction_seen", visit("call", e.call);
            visit("transaction", e.transaction); visit("state", e.state);
            visit("decided_by", e.decided_by); visit("decided_at_ms", e.decided_at_ms);
            visit("automatic", e.automatic); visit("reason", e.reason); visit("checks", e.checks);)
TALLY_EVENT(CounterSeen, "counter_seen", visit("call", e.call); visit("name", e.name);
            visit("value", e.value);)
TALLY_EVENT(DigestSeen, "digest_seen", visit("of", e.of, DigestOf{255}); visit("index", e.index);
            visit("digest", e.digest);)
TALLY_EVENT(Disconnected, "disconnected")
TALLY_EVENT(Restarted, "restarted", visit("applied", e.applied);)
TALLY_EVENT(Faulted, "faulted", visit("what", e.what);)
TALLY_EVENT(Healed, "healed")
TALLY_EVENT(Resumed, "resumed")
TALLY_EVENT(Drained, "drained")

#undef TALLY_EVENT

}  // namespace tally::test
