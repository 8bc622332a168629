#include "broker/core/broker_core.h"

#include <algorithm>

#include "broker/core/configuration.h"
#include "broker/core/deliveries.h"
#include "broker/core/producer_groups.h"
#include "broker/core/retention.h"
#include "broker/core/transaction_desk.h"
#include "protocol/base/check.h"

namespace tally::broker {
namespace {

constexpr std::size_t kReleasedPerBatch = 512;

bool is_lone_mark(const store::EntryView& entry) {
  return entry.records.size() == 1 && entry.records[0].header.type == store::RecordType::kMark;
}

}  // namespace

struct BrokerCore::State {
  State(const CoreOptions& options, ShardId shard, LogId log) : context(options, shard, log) {}

  Result<void> apply(const store::EntryView& entry, const std::vector<Waiter>* waiters);
  Result<bool> apply_record(const Applying& applying);
  bool apply_retain(const Applying& applying);
  bool wants_checkpoint() const {
    return context.checkpoint.behind() || topics.erasing() || retention.base_due();
  }
  void admit(Command& command, const store::Keepalive& bytes);
  void fire(TimerHook& hook);
  /// End of every call that may have made something possible.
  void flush() {
    desk.flush();
    checkers.flush();
    deliveries.flush();
    transactions.release_some(kReleasedPerBatch);
    if (context.proposals.has_entry()) mark_at_ms = TimerWheel::kNever;
  }

  Context context;
  Configuration configuration{context};
  Sessions sessions{};
  Producers producers{context};
  Topics topics{context, producers};
  ProducerGroups producer_groups{context, topics};
  Transactions transactions{context};
  Checkers checkers{context, producer_groups, transactions, sessions};
  TransactionDesk desk{context, topics, producer_groups, transactions, checkers, sessions};
  Deliveries deliveries{context, topics, sessions};
  Retention retention{context, topics, transactions};

  const store::IndexView* index = nullptr;  ///< until serve()
  bool log_begun = false;                   ///< the first entry's position is known
  bool witnessed = true;  ///< the newest applied entry is a lone Mark, or there is none
  std::int64_t mark_at_ms = TimerWheel::kNever;  ///< boot time
  std::int64_t checkpoint_at_ms = 0;             ///< boot time before which none is due for its age
};

BrokerCore::BrokerCore(const CoreOptions& options, ShardId shard, LogId log)
    : state_(std::make_unique<State>(options, shard, log)) {}
BrokerCore::~BrokerCore() = default;

// --- start ---

Result<void> BrokerCore::restore(const store::IndexView& index) {
  auto& state = *state_;
  state.index = &index;
  TALLY_TRY(const auto position, index.position());
  if (!position) return {};
  if (position->log != state.context.log) {
    return Error(ErrorCode::kDataDamaged, "the index belongs to another log");
  }
  state.context.checkpoint.start(*position);
  state.context.applied = position->applied;
  state.log_begun = true;
  TALLY_TRY_VOID(state.configuration.restore(index));
  TALLY_TRY_VOID(state.producers.restore(index));
  TALLY_TRY_VOID(state.producer_groups.restore(index));
  TALLY_TRY_VOID(state.topics.restore(index));
  TALLY_TRY_VOID(state.deliveries.restore(index));
  return state.transactions.restore(index);
}

Result<void> BrokerCore::replay(const store::EntryView& entry) {
  return state_->apply(entry, nullptr);
}

void BrokerCore::bases(std::vector<KnownBase> existing) {
  state_->retention.bases(std::move(existing));
}

Result<void> BrokerCore::complete() const { return state_->topics.complete(); }

void BrokerCore::serve(Now now, EntryIndex last_index, Lsn end, std::int64_t last_time_ms) {
  auto& state = *state_;
  auto& context = state.context;
  state.index = nullptr;
  context.applied = last_index;
  context.serving = true;
  const Counters replayed = std::exchange(context.counters, {});
  context.counters.pending = replayed.pending;
  context.counters.parked = replayed.parked;
  context.decision_times.clear();
  context.clock.start(now, last_time_ms);
  context.wheel.start(context.now_ms());
  context.proposals.start(EntryIndex(last_index.value + 1), end);
  if (!state.log_begun) context.checkpoint.start_without(end);
  state.checkpoint_at_ms = now.boot_ms + context.options.checkpoint_ms;
  state.retention.serve(now, end, last_time_ms, state.configuration.clock_behind_ms());
  if (!state.witnessed) state.mark_at_ms = now.boot_ms + context.options.idle_mark_ms;
  state.deliveries.start();
  state.checkers.start();
  state.configuration.propose();
}

// --- work ---

void BrokerCore::session_opened(SessionId session, std::string client) {
  state_->sessions[session].client = std::move(client);
}

void BrokerCore::session_closed(SessionId session) {
  const auto found = state_->sessions.find(session);
  if (found == state_->sessions.end()) return;
  state_->deliveries.session_closed(session, found->second);
  state_->checkers.session_closed(session, found->second);
  state_->sessions.erase(found);
  state_->flush();
}

void BrokerCore::admit(std::span<Command> commands, const store::Keepalive& bytes) {
  for (Command& command : commands) state_->admit(command, bytes);
  state_->flush();
}

void BrokerCore::State::admit(Command& command, const store::Keepalive& bytes) {
  const Waiter waiter{
      .session = command.session, .request = command.request, .kind = kind_of(command.body)};
  auto& body = command.body;
  if (std::holds_alternative<SendRequest>(body)) {
    topics.admit_send(waiter, command, bytes);
  } else if (std::holds_alternative<PrepareRequest>(body)) {
    desk.admit_prepare(waiter, command, bytes);
  } else if (std::holds_alternative<EndRequest>(body)) {
    desk.admit_end(waiter, command);
  } else if (auto* settle = std::get_if<SettleRequest>(&body)) {
    deliveries.admit_settle(waiter, *settle);
  } else if (auto* receive = std::get_if<ReceiveRequest>(&body)) {
    deliveries.admit_receive(waiter, *receive);
  } else if (auto* extend = std::get_if<ExtendLeaseRequest>(&body)) {
    deliveries.admit_extend(waiter, *extend);
  } else if (std::holds_alternative<AnswerCheckRequest>(body)) {
    desk.admit_answer(waiter, command);
  } else if (auto* checker = std::get_if<RegisterCheckerRequest>(&body)) {
    checkers.admit_register(waiter, std::move(*checker));
  } else if (auto* create = std::get_if<CreateTopicRequest>(&body)) {
    topics.admit_create(waiter, *create);
  } else if (auto* topic_list = std::get_if<ListTopicsRequest>(&body)) {
    topics.admit_list(waiter, *topic_list);
  } else if (auto* group_list = std::get_if<ListGroupsRequest>(&body)) {
    deliveries.admit_list(waiter, *group_list);
  } else if (auto* set_group = std::get_if<SetProducerGroupRequest>(&body)) {
    producer_groups.admit_set(waiter, *set_group);
  } else if (auto* groups = std::get_if<ListProducerGroupsRequest>(&body)) {
    producer_groups.admit_list(waiter, *groups);
  } else if (auto* manage = std::get_if<ManageTransactionRequest>(&body)) {
    desk.admit_manage(waiter, *manage);
  } else if (auto* show = std::get_if<ShowTransactionRequest>(&body)) {
    desk.admit_show(waiter, *show);
  } else if (auto* list = std::get_if<ListTransactionsRequest>(&body)) {
    desk.admit_list(waiter, std::move(*list));
  } else if (auto* find_final = std::get_if<FindFinalRequest>(&body)) {
    desk.admit_find_final(waiter, *find_final);
  } else {
    context.refuse(waiter, ErrorCode::kUnknownRequest, "the core does not serve this request");
  }
}

void BrokerCore::check_received(SessionId session, std::uint64_t challenge) {
  state_->checkers.received(session, challenge);
  state_->flush();
}

void BrokerCore::message_damaged(const DamagedMessage& message) {
  state_->deliveries.message_damaged(message);
}

void BrokerCore::loaded(Loaded&& values) {
  state_->context.loads.loaded(std::move(values));
  state_->flush();
}

void BrokerCore::State::fire(TimerHook& hook) {
  switch (hook.kind) {
    case TimerKind::kCheck:
      return checkers.due(static_cast<Transaction&>(hook));
    case TimerKind::kLease:
      return deliveries.lease_due(static_cast<Lease&>(hook));
    case TimerKind::kReceive:
      return deliveries.receive_due(static_cast<WaitingReceive&>(hook));
    case TimerKind::kRetry:
      return deliveries.retry_due(static_cast<Subscription&>(hook));
  }
}

void BrokerCore::tick(Now now) {
  auto& state = *state_;
  auto& context = state.context;
  context.clock.advance(now);
  context.wheel.expire(context.now_ms(), [&](TimerHook& hook) { state.fire(hook); });
  state.retention.tick(now);
  state.transactions.tick(now.boot_ms);
  state.flush();
  if (now.boot_ms >= state.mark_at_ms && !context.in_reserve()) propose_mark();
}

std::int64_t BrokerCore::next_tick_ms() const {
  auto& context = state_->context;
  std::int64_t next = context.in_reserve() ? TimerWheel::kNever : state_->mark_at_ms;
  if (const std::int64_t due = context.wheel.next_due_ms(); due != TimerWheel::kNever) {
    next = std::min(next, context.clock.boot_at(due));
  }
  if (state_->wants_checkpoint() && !context.checkpoint.writing()) {
    next = std::min(next, state_->checkpoint_at_ms);
  }
  return next;
}

// --- apply ---

Result<void> BrokerCore::State::apply(const store::EntryView& entry,
                                      const std::vector<Waiter>* waiters) {
  if (!log_begun) {
    context.checkpoint.start_without(entry.header.lsn);
    log_begun = true;
  }
  configuration.applied(entry.header);
  context.applied = entry.header.index;
  for (std::size_t i = 0; i < entry.records.size(); ++i) {
    TALLY_TRY(const bool understood,
              apply_record({.record = entry.records[i],
                            .time_ms = entry.header.time_ms,
                            .waiter = waiters != nullptr ? (*waiters)[i] : Waiter{}}));
    if (!understood) {
      return Error(ErrorCode::kDataDamaged, "the record at LSN " +
                                                std::to_string(entry.records[i].header.lsn.value) +
                                                " does not make sense");
    }
  }
  context.checkpoint.applied(entry.header);
  witnessed = is_lone_mark(entry);
  return {};
}

Result<bool> BrokerCore::State::apply_record(const Applying& applying) {
  using store::RecordType;
  const RecordType type = applying.record.header.type;
  const bool of_the_broker =
      type == RecordType::kMark || type == RecordType::kRetain || type == RecordType::kClock;
  if (!of_the_broker) retention.changed();
  switch (type) {
    case RecordType::kMark:
      return true;
    case RecordType::kConfig:
      return configuration.apply(applying);
    case RecordType::kTopicChange:
      return topics.apply_create(applying);
    case RecordType::kGroupChange:
      return deliveries.apply_group_change(applying);
    case RecordType::kProducerGroupChange:
      return producer_groups.apply_change(applying);
    case RecordType::kAppend:
      return topics.apply_append(applying);
    case RecordType::kHalf:
      return desk.apply_half(applying, index);
    case RecordType::kEnd:
      return desk.apply_end(applying);
    case RecordType::kCheckDelivered:
      return desk.apply_check_delivered(applying);
    case RecordType::kCheckAnswered:
      return desk.apply_check_answered(applying);
    case RecordType::kPark:
      return desk.apply_park(applying);
    case RecordType::kResume:
      return desk.apply_resume(applying);
    case RecordType::kSettle:
    case RecordType::kLeaseExpired:
      return deliveries.apply_settle(applying);
    case RecordType::kRetain:
      return apply_retain(applying);
    case RecordType::kClock:
      return configuration.apply_clock(applying);
  }
  return false;
}

bool BrokerCore::State::apply_retain(const Applying& applying) {
  const auto& header = applying.record.header;
  const auto retain = store::decode<store::RetainExtension>(header, applying.record.extension);
  Topic* topic = topics.find(header.topic);
  if (!retain || (topic == nullptr && !retain->floors.empty())) return false;
  for (const store::RetainFloor& floor : retain->floors) {
    if (floor.queue >= topic->queues.size()) return false;
    topics.raise_first(*topic, floor.queue, floor.first);
  }
  if (topic != nullptr) deliveries.lose_below_first(*topic, retain->floors);
  configuration.raise_horizon(retain->horizon, retain->horizon_ms);
  if (context.serving) retention.applied(retain->horizon);
  return true;
}

// --- the log ---

bool BrokerCore::has_entry() const { return state_->context.proposals.has_entry(); }

std::unique_ptr<store::Entry> BrokerCore::take_entry() {
  return state_->context.proposals.take(state_->context.now_ms());
}

void BrokerCore::committed(std::unique_ptr<store::Entry> entry) {
  auto& state = *state_;
  const auto applied = state.apply(entry->view(), &state.context.proposals.front());
  TALLY_CHECK(applied.has_value());  // what this core proposed, it understands
  state.context.proposals.pop_front(std::move(entry));
  if (!state.witnessed) {
    state.mark_at_ms = state.context.clock.boot_ms() + state.context.options.idle_mark_ms;
  }
  state.flush();
}

bool BrokerCore::must_pause_reading() const {
  return state_->context.proposals.bytes_in_flight() >=
         2 * state_->context.options.log_bytes_in_flight_max;
}

// --- the index ---

bool BrokerCore::checkpoint_due() const {
  const auto& context = state_->context;
  if (context.checkpoint.writing() || !state_->wants_checkpoint()) return false;
  if (context.checkpoint.lag_bytes() >= context.options.checkpoint_bytes) return true;
  return context.serving && context.clock.boot_ms() >= state_->checkpoint_at_ms;
}

std::unique_ptr<store::IndexBatch> BrokerCore::take_checkpoint() {
  auto& state = *state_;
  auto& context = state.context;
  TALLY_CHECK(!context.checkpoint.writing());
  if (state.retention.base_due()) state.retention.base_taken();
  state.configuration.collect();
  state.producers.collect();
  state.producer_groups.collect();
  state.topics.collect();
  state.deliveries.collect();
  state.transactions.collect();
  state.checkpoint_at_ms = context.clock.boot_ms() + context.options.checkpoint_ms;
  return context.checkpoint.take();
}

void BrokerCore::checkpoint_done() {
  state_->context.checkpoint.done();
  state_->topics.checkpoint_done();
  state_->transactions.checkpoint_done();
}

bool BrokerCore::base_due() const { return state_->retention.base_due(); }
void BrokerCore::base_written(const KnownBase& base) { state_->retention.base_written(base); }
void BrokerCore::base_failed() { state_->retention.base_failed(); }
void BrokerCore::set_space(store::Space space) {
  state_->context.space = space;
  state_->configuration.propose();
  if (state_->context.serving) state_->flush();
}

// --- stop ---

void BrokerCore::drain() {
  state_->context.draining = true;
  state_->deliveries.drain();
}

bool BrokerCore::idle() const {
  return state_->context.proposals.idle() && state_->context.loads.idle();
}

void BrokerCore::propose_mark() {
  state_->context.proposals.propose_mark(state_->context.now_ms());
  state_->mark_at_ms = TimerWheel::kNever;
}

Effects& BrokerCore::effects() { return state_->context.effects; }
std::int64_t BrokerCore::now_ms() const { return state_->context.now_ms(); }
EntryIndex BrokerCore::applied() const { return state_->context.applied; }

BrokerCore::Counters BrokerCore::counters() const {
  Counters counters = state_->context.counters;
  counters.end_bytes_reserved = state_->context.end_bytes_reserved;
  counters.horizon = state_->context.horizon.value;
  const auto age_ms = [now_ms = state_->context.now_ms()](std::int64_t since_ms) {
    return static_cast<std::uint64_t>(since_ms == 0 ? 0
                                                    : std::max<std::int64_t>(0, now_ms - since_ms));
  };
  counters.horizon_ms = age_ms(state_->context.horizon_ms);
  counters.oldest_pending_ms = age_ms(state_->transactions.oldest_pending_ms());
  counters.no_checker_waiting = state_->checkers.waiting_in_vain();
  counters.decision_p50_ms = state_->context.decision_times.quantile_ms(500);
  counters.decision_p99_ms = state_->context.decision_times.quantile_ms(990);
  const std::int64_t behind_ms = state_->retention.clock_behind_ms();
  counters.retention_clock_behind_ms =
      static_cast<std::uint64_t>(std::max<std::int64_t>(0, behind_ms));
  return counters;
}

}  // namespace tally::broker
