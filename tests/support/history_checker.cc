#include "tests/support/history_checker.h"

#include <array>
#include <optional>

#include "tests/support/history_checks.h"
#include "tests/support/history_groups.h"
#include "tests/support/history_loss.h"
#include "tests/support/history_recount.h"
#include "tests/support/history_run.h"

namespace tally::test {

std::string_view name(Rule rule) {
  constexpr std::array<std::string_view, kRules> kNames = {
      "R0 malformed", "R1 phantom",  "R2 aborted",  "R3 early",      "R4 lost",
      "R5 decision",  "R6 settled",  "R7 order",    "R8 position",   "R9 duplicate",
      "R10 check",    "R11 restart", "R12 service", "R13 accounting"};
  return kNames.at(static_cast<std::size_t>(rule));
}

std::string to_string(const Violation& violation) {
  std::string text(name(violation.rule));
  text += ": " + violation.text;
  if (violation.events.empty()) return text;
  const char* before = violation.events.size() == 1 ? " (event " : " (events ";
  for (const auto event : violation.events) {
    text += before + std::to_string(event);
    before = ", ";
  }
  return text + ")";
}

namespace {

/// A call that has no answer yet. What else is filled in depends on its operation.
struct Call {
  EventNumber invoked = 0;
  std::int64_t at_ms = 0;
  NameId operation = 0;
  std::optional<MessageIndex> message{};  ///< of a send or half; nothing after R0
  std::optional<EndAsked> end{};
  std::optional<SettleAsked> settle{};
  bool old_answer = false;  ///< to a check that is not the newest
  bool lists_all = false;
};

}  // namespace

struct HistoryChecker::State {
  explicit State(const CheckerLimits& limits_in) : limits(limits_in) {}

  const CheckerLimits limits;
  Findings findings{};
  Names names{};
  Messages messages{findings, names};
  Transactions transactions{findings, names, messages};
  Groups groups{findings, names, messages, transactions, limits};
  Checks checks{findings, names, transactions, limits};
  Recount recount{findings, messages, transactions, checks};
  Run run{findings, limits};
  std::unordered_map<CallId, Call> calls{};
  Ending ending{};
  Summary summary{};

  EventNumber number = 0;  ///< of the event at hand
  const Event* event = nullptr;

  Call* begin(CallId id, std::string operation);
  std::optional<Call> end(CallId id);
  std::optional<Call> end_ok(CallId id, const std::string& operation);
  EventNumber asked(CallId call, bool* lists_all = nullptr);

  void on(const SendInvoked& send);
  void on(const PrepareInvoked& half);
  void on(const EndInvoked& end);
  void on(const SettleInvoked& settle);
  void on(const OtherInvoked& other);
  void on(const SendOk& answer);
  void on(const PrepareOk& answer);
  void on(const EndOk& answer);
  void on(const SettleOk& answer);
  void on(const OtherOk& answer);
  void on(const Failed& answer);
  void on(const Unanswered& answer);
  void on(const LocalOutcome& outcome) { transactions.local(number, outcome); }
  void on(const Managed& managed) { checks.managed(managed.transaction); }
  void on(const CheckAsked& check) { checks.asked(number, event->process, check); }
  void on(const CheckReceived& check) { checks.received(number, check.challenge); }
  void on(const Subscribed& s) { groups.subscribed(number, s.group, s.topic); }
  void on(const Delivered& delivered);
  void on(const DeadLettered& dead);
  void on(const Published& published);
  void on(const Trimmed& trim) { messages.trimmed(number, trim); }
  void on(const LostCount& count) { groups.lost_count(number, count); }
  void on(const Forgotten& horizon) { transactions.forgotten(horizon); }
  void on(const TransactionSeen& seen);
  void on(const CounterSeen& counter) { recount.seen(number, asked(counter.call), counter); }
  void on(const DigestSeen& digest) { run.digest(number, digest); }
  void on(const Disconnected&) { checks.disconnected(number, event->process); }
  void on(const Restarted& restarted);
  void on(const Faulted&) { run.faulted(); }
  void on(const Healed&) { run.healed(number, event->at_ms); }
  void on(const Resumed&) { ending.resumed = number; }
  void on(const Drained&);
};

Call* HistoryChecker::State::begin(CallId id, std::string operation) {
  const auto [at, added] = calls.try_emplace(id);
  if (!added || id == 0) {
    findings.add(Rule::kMalformed, sentence("call ", id, " begins, but it is there already"),
                 {at->second.invoked, number});
    return nullptr;
  }
  at->second.invoked = number;
  at->second.at_ms = event->at_ms;
  at->second.operation = names.of(operation);
  return &at->second;
}

std::optional<Call> HistoryChecker::State::end(CallId id) {
  const auto found = calls.find(id);
  if (found == calls.end()) {
    findings.add(Rule::kMalformed, sentence("call ", id, " ends, but it never began"), {number});
    return std::nullopt;
  }
  Call call = std::move(found->second);
  calls.erase(found);
  if (limits.call_ms > 0 && event->at_ms - call.at_ms > limits.call_ms) {
    findings.add(Rule::kService,
                 sentence("a call (", names.text(call.operation), ") took ",
                          event->at_ms - call.at_ms, " ms, more than ", limits.call_ms),
                 {call.invoked, number});
  }
  return call;
}

std::optional<Call> HistoryChecker::State::end_ok(CallId id, const std::string& operation) {
  auto call = end(id);
  if (!call) return std::nullopt;
  const bool other = !call->message && !call->end && !call->settle;
  if (operation.empty() ? !other : call->operation != names.of(operation)) {
    findings.add(Rule::kMalformed,
                 sentence("call ", id, " (", names.text(call->operation),
                          ") has the answer of another operation"),
                 {call->invoked, number});
    return std::nullopt;
  }
  run.call_ok();
  return call;
}

EventNumber HistoryChecker::State::asked(CallId call, bool* lists_all) {
  if (call == 0) return number;
  const auto found = calls.find(call);
  if (found == calls.end()) {
    findings.add(Rule::kMalformed,
                 sentence("call ", call, " shows something, but it is not under way"), {number});
    return number;
  }
  if (lists_all != nullptr) *lists_all = found->second.lists_all;
  return found->second.invoked;
}

void HistoryChecker::State::on(const SendInvoked& send) {
  Call* call = begin(send.call, "send");
  if (call != nullptr) call->message = messages.send_invoked(number, send);
}

void HistoryChecker::State::on(const PrepareInvoked& half) {
  Call* call = begin(half.call, "prepare");
  if (call == nullptr) return;
  const TransactionIndex transaction = transactions.index(half.transaction);
  call->message = messages.half_invoked(number, half, transaction);
  if (call->message) transactions.half_invoked(number, transaction, *call->message);
}

void HistoryChecker::State::on(const EndInvoked& end) {
  Call* call = begin(end.call, "end");
  if (call == nullptr) return;
  call->end = transactions.end_invoked(number, end);
  if (end.by == Decider::kCheck) {
    call->old_answer = checks.answered(number, call->end->transaction, end.challenge);
  }
}

void HistoryChecker::State::on(const SettleInvoked& settle) {
  Call* call = begin(settle.call, "settle");
  if (call != nullptr) call->settle = groups.settle_invoked(number, settle);
}

void HistoryChecker::State::on(const OtherInvoked& other) {
  Call* call = begin(other.call, other.operation);
  if (call != nullptr) call->lists_all = other.lists_all;
}

void HistoryChecker::State::on(const SendOk& answer) {
  const auto call = end_ok(answer.call, "send");
  if (!call || !call->message) return;
  messages.acked(number, *call->message);
  messages.place(number, *call->message,
                 {.topic = messages[*call->message].topic,
                  .queue = answer.queue,
                  .offset = answer.offset,
                  .lsn = answer.message_lsn});
}

void HistoryChecker::State::on(const PrepareOk& answer) {
  const auto call = end_ok(answer.call, "prepare");
  if (!call || !call->message) return;
  const TransactionIndex transaction = messages[*call->message].transaction;
  messages.acked(number, *call->message);
  transactions.half_acked(number, transaction);
  checks.prepared(number, transaction, answer);
}

void HistoryChecker::State::on(const EndOk& answer) {
  const auto call = end_ok(answer.call, "end");
  if (!call) return;
  if (call->old_answer) checks.old_answer_accepted(number, call->invoked, call->end->transaction);
  transactions.end_ok(number, *call->end, answer);
}

void HistoryChecker::State::on(const SettleOk& answer) {
  const auto call = end_ok(answer.call, "settle");
  if (!call) return;
  run.applied(number, answer.applied);
  groups.settle_ok(number, *call->settle, answer.applied);
}

void HistoryChecker::State::on(const OtherOk& answer) {
  const auto call = end_ok(answer.call, "");
  if (call && call->lists_all) transactions.listed(number, call->invoked);
}

void HistoryChecker::State::on(const Failed& answer) {
  const auto call = end(answer.call);
  if (!call) return;
  if (call->message) messages.failed(number, *call->message);
  if (call->end) transactions.end_failed(number, *call->end, answer);
  if (call->settle) groups.settle_failed(number, *call->settle);
}

void HistoryChecker::State::on(const Unanswered& answer) {
  if (end(answer.call)) ++summary.unanswered;
}

void HistoryChecker::State::on(const Delivered& delivered) {
  ++summary.deliveries;
  run.applied(number, delivered.applied);
  const NameId topic = names.of(delivered.topic);
  const auto message = messages.seen(number, delivered.content, topic, &delivered.message_group);
  if (!message || !messages.place(number, *message,
                                  {.topic = topic,
                                   .queue = delivered.queue,
                                   .offset = delivered.offset,
                                   .lsn = delivered.message_lsn})) {
    return;
  }
  const TransactionIndex transaction = messages[*message].transaction;
  if (transaction != kNobody) transactions.delivered(number, transaction, *message);
  groups.delivered(number, *message, delivered);
}

void HistoryChecker::State::on(const DeadLettered& dead) {
  run.applied(number, dead.applied);
  groups.dead_lettered(number, dead);
}

void HistoryChecker::State::on(const Published& published) {
  const NameId topic = names.of(published.topic);
  const auto message = messages.seen(number, published.content, topic, nullptr);
  if (!message) return;
  messages.place(number, *message,
                 {.topic = topic, .queue = published.queue, .offset = published.offset});
}

void HistoryChecker::State::on(const TransactionSeen& seen) {
  bool listing = false;
  const EventNumber since = asked(seen.call, &listing);
  if (transactions.seen(number, since, listing, seen)) checks.seen(number, seen);
}

void HistoryChecker::State::on(const Restarted& restarted) {
  run.restarted(number, restarted.applied);
  checks.restarted(number);
  recount.restarted(number);
}

void HistoryChecker::State::on(const Drained&) {
  ending.drained = number;
  summary.drained = true;
}

HistoryChecker::HistoryChecker(const CheckerLimits& limits)
    : state_(std::make_unique<State>(limits)) {}
HistoryChecker::~HistoryChecker() = default;

std::vector<Violation> HistoryChecker::add(const Event& event) {
  State& state = *state_;
  state.number = ++state.summary.events;
  state.event = &event;
  state.run.time(state.number, event.at_ms);
  std::visit([&](const auto& what) { state.on(what); }, event.what);
  return state.findings.take();
}

std::vector<Violation> HistoryChecker::finish() {
  State& state = *state_;
  for (const auto& [id, call] : state.calls) {
    state.run.call_hangs(call.invoked, state.names.text(call.operation));
  }
  state.run.finish();
  state.groups.finish();
  Loss(state.findings, state.messages, state.transactions, state.groups, state.ending).find();
  return state.findings.take();
}

const HistoryChecker::Summary& HistoryChecker::summary() const {
  state_->summary.messages = state_->messages.all().size();
  state_->summary.transactions = state_->transactions.all().size();
  return state_->summary;
}

}  // namespace tally::test
