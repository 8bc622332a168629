#pragma once
// Short words for the events of hand-made histories. Everything happens in topic "t", queue 0, process "p", one event a
// millisecond, unless it says otherwise.

#include <string>
#include <utility>
#include <vector>

#include "tests/support/history_checker.h"

namespace tally::test {

inline SendInvoked send(CallId call, Content content, std::string message_group = "") {
  return {
      .call = call, .topic = "t", .content = content, .message_group = std::move(message_group)};
}
inline SendInvoked send_once(CallId call, Content content, std::uint64_t sequence) {
  return {.call = call, .topic = "t", .content = content, .producer = 1, .sequence = sequence};
}
inline SendOk sent(CallId call, std::uint64_t offset, std::uint32_t queue = 0) {
  return {.call = call, .queue = queue, .offset = offset};
}
inline PrepareInvoked prepare(CallId call, std::string transaction, Content content,
                              std::uint32_t message = 1, std::string message_group = "") {
  return {.call = call,
          .transaction = std::move(transaction),
          .message = message,
          .topic = "t",
          .content = content,
          .message_group = std::move(message_group)};
}
inline PrepareOk prepared(CallId call, std::int64_t first_check_at_ms = 0,
                          std::int64_t prepared_at_ms = 0) {
  return {.call = call, .prepared_at_ms = prepared_at_ms, .first_check_at_ms = first_check_at_ms};
}
inline EndInvoked end(CallId call, std::string transaction, Decision decision,
                      Decider by = Decider::kProducer, std::uint32_t messages = 0) {
  return {.call = call,
          .transaction = std::move(transaction),
          .decision = decision,
          .by = by,
          .messages = messages};
}
inline EndInvoked commit(CallId call, std::string transaction, Decider by = Decider::kProducer) {
  return end(call, std::move(transaction), Decision::kCommit, by);
}
inline EndInvoked rollback(CallId call, std::string transaction, Decider by = Decider::kProducer) {
  return end(call, std::move(transaction), Decision::kRollback, by);
}
inline EndInvoked answer(CallId call, std::string transaction, std::uint64_t challenge,
                         Decision decision) {
  EndInvoked end = test::end(call, std::move(transaction), decision, Decider::kCheck);
  end.challenge = challenge;
  return end;
}
inline EndOk committed(CallId call, Decider by = Decider::kProducer, std::int64_t at_ms = 0) {
  return {
      .call = call,
      .result = {.state = TransactionState::kCommitted, .decided_by = by, .decided_at_ms = at_ms}};
}
inline EndOk rolled_back(CallId call, Decider by = Decider::kProducer) {
  return {.call = call,
          .result = {.state = TransactionState::kRolledBack, .decided_by = by, .decided_at_ms = 0}};
}
inline EndOk still(CallId call, TransactionState state) {
  return {.call = call, .result = {.state = state, .decided_by = {}, .decided_at_ms = 0}};
}
inline EndOk again(EndOk ok) {
  ok.repeated = true;
  return ok;
}
inline Failed failed(CallId call, ErrorCode code = ErrorCode::kOverloaded) {
  return {.call = call, .code = code};
}
inline Failed conflict(CallId call, TransactionState winner, Decider by = Decider::kProducer) {
  return {.call = call,
          .code = ErrorCode::kConflict,
          .winner = {.state = winner, .decided_by = by, .decided_at_ms = 0}};
}
inline LocalOutcome local_commit(std::string transaction) {
  return {.transaction = std::move(transaction), .truth = Truth::kCommitted};
}
inline LocalOutcome local_rollback(std::string transaction) {
  return {.transaction = std::move(transaction), .truth = Truth::kRolledBack};
}
inline CheckAsked check(std::string transaction, std::uint64_t challenge, std::uint32_t attempt,
                        std::int64_t broker_time_ms) {
  return {.transaction = std::move(transaction),
          .challenge = challenge,
          .attempt = attempt,
          .broker_time_ms = broker_time_ms};
}
inline TransactionSeen seen(std::string transaction, TransactionState state,
                            Decider by = Decider::kNone, CallId call = 0) {
  return {.call = call, .transaction = std::move(transaction), .state = state, .decided_by = by};
}
inline Subscribed subscribed(std::string group = "g") {
  return {.group = std::move(group), .topic = "t"};
}
inline Delivered got(std::uint64_t offset, Content content, AppliedIndex applied,
                     std::uint32_t attempt = 1, std::string group = "g") {
  return {.group = std::move(group),
          .topic = "t",
          .offset = offset,
          .attempt = attempt,
          .applied = applied,
          .content = content};
}
inline Delivered in_group(Delivered delivered, std::string message_group) {
  delivered.message_group = std::move(message_group);
  return delivered;
}
inline SettleInvoked settle(CallId call, std::uint64_t offset,
                            SettleAction action = SettleAction::kAck, std::uint32_t attempt = 1,
                            std::string group = "g") {
  return {.call = call,
          .group = std::move(group),
          .topic = "t",
          .offset = offset,
          .attempt = attempt,
          .action = action};
}
inline SettleOk settled(CallId call, AppliedIndex applied) {
  return {.call = call, .applied = applied};
}
inline Trimmed trimmed(std::uint64_t floor, std::int64_t published_before_ms = INT64_MAX) {
  return {.topic = "t", .floor = floor, .published_before_ms = published_before_ms};
}
inline OtherInvoked ask(CallId call, std::string operation) {
  return {.call = call, .operation = std::move(operation)};
}
inline OtherInvoked list_all(CallId call) {
  return {.call = call, .operation = "list", .lists_all = true};
}
/// At a moment, by a process.
inline Event at(std::int64_t at_ms, EventBody what, std::string process = "p") {
  return {.at_ms = at_ms, .process = std::move(process), .what = std::move(what)};
}

/// A line of a table: an event, or what happens in it.
struct Line {
  Event event{};
  bool timed = true;
  Line(Event e) : event(std::move(e)) {}
  template <typename What>
  requires std::constructible_from<EventBody, What> Line(What what)
      : event({.at_ms = 0, .process = "p", .what = std::move(what)}), timed(false) {}
};

inline std::string number_of(Rule rule) { return "R" + std::to_string(static_cast<int>(rule)); }

/// What the checker finds, and after which event: "R5@3 R4@end"; empty for a good history.
inline std::string judged(const std::vector<Line>& table, const CheckerLimits& limits = {}) {
  HistoryChecker checker(limits);
  std::string found;
  const auto note = [&](const std::vector<Violation>& violations, const std::string& when) {
    for (const Violation& violation : violations) {
      found += (found.empty() ? "" : " ") + number_of(violation.rule) + "@" + when;
    }
  };
  for (std::size_t i = 0; i < table.size(); ++i) {
    Event event = table[i].event;
    if (!table[i].timed) event.at_ms = static_cast<std::int64_t>(i + 1);
    note(checker.add(event), std::to_string(i + 1));
  }
  note(checker.finish(), "end");
  return found;
}

}  // namespace tally::test
