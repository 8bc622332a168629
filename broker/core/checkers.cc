#include "broker/core/checkers.h"

#include <algorithm>

#include "broker/core/backoff.h"
#include "protocol/base/seeded_bug.h"

namespace tally::broker {
namespace {

// After a start, checks that are due are asked over a time that grows with their number.
constexpr std::int64_t kSpreadPerMs = 10, kSpreadMsMax = 30'000;

}  // namespace

std::string Checkers::pool_key(std::string_view group, const StoreId& store) {
  return std::string(store.view()).append(group);
}

void Checkers::start() {
  // A run never repeats one of an earlier run, not even of one that wrote nothing.
  challenges_ = mix(context_.applied.value ^ mix(static_cast<std::uint64_t>(context_.now_ms())) ^
                    mix(static_cast<std::uint64_t>(context_.clock.boot_ms())));
  const auto pending = static_cast<std::int64_t>(context_.counters.pending);
  const std::int64_t spread_ms = std::clamp<std::int64_t>(pending / kSpreadPerMs, 1, kSpreadMsMax);
  transactions_.for_each([&](Transaction& transaction) {
    transaction.not_before_ms =
        context_.now_ms() +
        static_cast<std::int64_t>(mix(transaction.hash) % static_cast<std::uint64_t>(spread_ms));
    update(transaction);
  });
}

std::int64_t Checkers::next_check_at_ms(const Transaction& transaction) const {
  if (transaction.state != TxState::kPending || used_up(transaction)) return 0;
  return due_at_ms(transaction);
}

bool Checkers::used_up(const Transaction& transaction) const {
  return transaction.checks > 0 &&
         transaction.checks >= producer_groups_.settings(transaction).budget;
}

std::int64_t Checkers::due_at_ms(const Transaction& transaction) const {
  const History* history = transaction.history.get();
  if (transaction.checks == 0 || history == nullptr || history->checks.empty()) {
    if (history != nullptr && history->resumed_at_ms != 0) return history->resumed_at_ms;
    return transaction.time_ms + transaction.first_check_ms;
  }
  const CheckSettings settings = producer_groups_.settings(transaction);
  return history->checks.back().delivered_at_ms +
         backoff_ms(transaction.first_check_ms, transaction.checks,
                    std::max<std::int64_t>(settings.backoff_max_ms, transaction.first_check_ms),
                    transaction.hash);
}

void Checkers::unlink(Transaction& transaction) {
  transaction.unlink();
  if (!transaction.waiting) return;
  transaction.waiting = false;
  const std::string key = pool_key(transaction.group(), transaction.store());
  --pools_.at(key).waiting_count;
  drop_if_empty(key);
}

void Checkers::stop(Transaction& transaction) {
  if (!transaction.outstanding) unlink(transaction);
}

void Checkers::update(Transaction& transaction) {
  if (!context_.serving) return;
  if (!is_open(transaction.state)) {
    if (transaction.outstanding) give_up(transaction);
    return unlink(transaction);
  }
  if (transaction.state == TxState::kParked || transaction.outstanding || transaction.counting ||
      transaction.parking || transaction.linked()) {
    return;
  }
  context_.wheel.schedule(transaction, std::max(due_at_ms(transaction), transaction.not_before_ms));
}

void Checkers::use_up(Transaction& transaction) {
  if (transaction.ending) return;  // its apply comes back here
  if (context_.in_reserve()) {
    transaction.not_before_ms = context_.now_ms() + transaction.first_check_ms;
    return update(transaction);
  }
  const std::string reason = "no decision after " + std::to_string(transaction.checks) + " checks";
  transactions_.pin(transaction);
  if (producer_groups_.settings(transaction).on_budget == OnBudget::kRollback) {
    transaction.ending = true;
    context_.proposals.propose(Waiter{}, context_.now_ms(), TopicUid{}, 0,
                               store::EndExtension{.decision = Decision::kRollback,
                                                   .decider = Decider::kBroker,
                                                   .messages = 0,
                                                   .handle = transaction.handle(context_.log),
                                                   .transaction = transaction.id(),
                                                   .group = {},
                                                   .client = {},
                                                   .reason = reason});
    return;
  }
  transaction.parking = true;
  context_.proposals.propose(
      Waiter{}, context_.now_ms(), TopicUid{}, 0,
      store::ParkExtension{.transaction = transaction.id(), .reason = reason});
}

void Checkers::wait(Transaction& transaction) {
  Pool& pool = pools_[pool_key(transaction.group(), transaction.store())];
  if (TALLY_SEEDED_BUG("budget_burns_while_nobody_connected") && pool.sessions.empty()) {
    return count(transaction, {});
  }
  transaction.waiting = true;
  ++pool.waiting_count;
  pool.waiting.push_back(transaction);
  pump(pool);
}

void Checkers::due(Transaction& transaction) {
  if (!transaction.outstanding) {
    return used_up(transaction) ? use_up(transaction) : wait(transaction);
  }
  ++context_.counters.checks_timed_out;
  if (!transaction.received) {
    transaction.not_before_ms = context_.now_ms() + transaction.first_check_ms;
  }
  give_up(transaction);
  update(transaction);
}

std::uint32_t Checkers::ask_now(Transaction& transaction) {
  if (!transaction.outstanding && !transaction.counting && !transaction.waiting) {
    unlink(transaction);
    wait(transaction);
  }
  return online(transaction);
}

std::uint32_t Checkers::online(const Transaction& transaction) const {
  const auto pool = pools_.find(pool_key(transaction.group(), transaction.store()));
  return pool == pools_.end() ? 0 : static_cast<std::uint32_t>(pool->second.sessions.size());
}

std::uint64_t Checkers::waiting_in_vain() const {
  std::uint64_t waiting = 0;
  for (const auto& [key, pool] : pools_) {
    if (pool.sessions.empty()) waiting += pool.waiting_count;
  }
  return waiting;
}

void Checkers::drop_if_empty(const std::string& key) {
  const auto found = pools_.find(key);
  if (found == pools_.end()) return;
  if (found->second.sessions.empty() && found->second.waiting.empty()) pools_.erase(found);
}

bool Checkers::has_credit(SessionId session) const {
  const auto found = sessions_.find(session);
  return found != sessions_.end() && found->second.asked.size() < kChecksPerSession;
}

SessionId Checkers::choose(Pool& pool, const Transaction& transaction) {
  const auto& sessions = pool.sessions;
  const SessionId asked = transaction.asked ? transaction.asked->session : SessionId{};
  const auto registered = [&](SessionId id) {
    return std::find(sessions.begin(), sessions.end(), id) != sessions.end();
  };
  const bool others = sessions.size() > 1;
  if (transaction.owner.value != 0 && (transaction.owner != asked || !others) &&
      has_credit(transaction.owner) && registered(transaction.owner)) {
    return transaction.owner;
  }
  for (std::size_t step = 0; step < sessions.size(); ++step) {
    const SessionId candidate = sessions[(pool.turn + step) % sessions.size()];
    if ((candidate == asked && others) || !has_credit(candidate)) continue;
    pool.turn = (pool.turn + step + 1) % sessions.size();
    return candidate;
  }
  if (others && has_credit(asked) && registered(asked)) {
    return asked;
  }
  return SessionId{};
}

void Checkers::pump(Pool& pool) {
  while (!pool.waiting.empty()) {
    auto& transaction = static_cast<Transaction&>(*pool.waiting.front());
    const SessionId session = choose(pool, transaction);
    if (session.value == 0) return;
    transaction.unlink();
    transaction.waiting = false;
    --pool.waiting_count;
    ask(transaction, session);
  }
}

void Checkers::ask(Transaction& transaction, SessionId session) {
  const std::uint64_t challenge = mix(++challenges_);
  if (transaction.asked == nullptr) transaction.asked = std::make_unique<Asked>();
  *transaction.asked = {.session = session, .challenge = challenge};
  transaction.outstanding = true;
  transaction.received = false;
  by_challenge_[challenge] = &transaction;
  sessions_.at(session).asked.push_back(&transaction);
  context_.wheel.schedule(transaction, context_.now_ms() + context_.options.check_answer_ms);
  ++context_.counters.checks_sent;
  context_.effects.checks.push_back(
      {.session = session,
       .request = {.transaction = std::string(transaction.id()),
                   .group = std::string(transaction.group()),
                   .store = transaction.store(),
                   .handle = transaction.handle(context_.log),
                   .challenge = challenge,
                   .messages = static_cast<std::uint32_t>(transaction.halves.size()),
                   .attempt = transaction.checks + 1,
                   .expires_in_ms =
                       context_.lifetime_left_ms(transaction.time_ms, transaction.lifetime_ms)}});
}

void Checkers::give_up(Transaction& transaction) {
  transaction.unlink();
  transaction.outstanding = false;
  by_challenge_.erase(transaction.asked->challenge);
  const auto session = sessions_.find(transaction.asked->session);
  if (session == sessions_.end()) return;
  auto& asked = session->second.asked;
  const auto found = std::find(asked.begin(), asked.end(), &transaction);
  if (found == asked.end()) return;
  *found = asked.back();
  asked.pop_back();
  freed_.push_back(session->first);
}

void Checkers::flush() {
  while (!freed_.empty()) {
    const auto session = sessions_.find(freed_.back());
    freed_.pop_back();
    if (session == sessions_.end()) continue;
    for (const auto& registration : session->second.registrations) {
      for (const StoreId& store : registration.stores) {
        const auto pool = pools_.find(pool_key(registration.group, store));
        if (pool != pools_.end()) pump(pool->second);
      }
    }
  }
}

void Checkers::received(SessionId session, std::uint64_t challenge) {
  const auto found = by_challenge_.find(challenge);
  if (found == by_challenge_.end()) return;
  Transaction& transaction = *found->second;
  if (transaction.asked->session != session || transaction.received) return;
  transaction.received = true;
  if (context_
          .in_reserve()) {  // it cannot be counted, so that the next one must not follow at once
    transaction.not_before_ms = context_.now_ms() + transaction.first_check_ms;
    return;
  }
  count(transaction, client_of(sessions_, session));
  context_.wheel.schedule(transaction, context_.now_ms() + context_.options.check_answer_ms);
}

void Checkers::count(Transaction& transaction, std::string_view client) {
  transaction.counting = true;
  transactions_.pin(transaction);
  context_.proposals.propose(
      Waiter{}, context_.now_ms(), TopicUid{}, 0,
      store::CheckDeliveredExtension{
          .attempt = transaction.checks + 1, .transaction = transaction.id(), .client = client});
}

bool Checkers::take_answer(Transaction& transaction, SessionId session, std::uint64_t challenge) {
  const Asked* asked = transaction.asked.get();
  const bool from_others = TALLY_SEEDED_BUG("uninvited_answer_accepted");
  if (asked == nullptr || asked->challenge != challenge) return false;
  if (asked->session != session && !from_others) return false;
  if (!transaction.outstanding) return is_decided(transaction.state);
  received(session, challenge);  // an answer is a receipt, too
  give_up(transaction);
  return true;
}

void Checkers::admit_register(const Waiter& waiter, RegisterCheckerRequest&& request) {
  const auto session = sessions_.find(waiter.session);
  if (session == sessions_.end()) return;
  auto& registrations = session->second.registrations;
  auto mine = std::find_if(registrations.begin(), registrations.end(),
                           [&](const auto& r) { return r.group == request.group; });
  if (mine == registrations.end()) {
    mine = registrations.insert(registrations.end(), {.group = request.group, .stores = {}});
  }
  unregister(waiter.session, mine->group, mine->stores);
  std::sort(request.stores.begin(), request.stores.end());
  request.stores.erase(std::unique(request.stores.begin(), request.stores.end()),
                       request.stores.end());
  mine->stores = std::move(request.stores);
  for (const StoreId& store : mine->stores) {
    Pool& pool = pools_[pool_key(mine->group, store)];
    pool.sessions.push_back(waiter.session);
    pump(pool);
  }
  if (mine->stores.empty()) registrations.erase(mine);
  context_.answer(waiter, Response(RegisterCheckerResponse{}));
}

void Checkers::unregister(SessionId id, std::string_view group,
                          const std::vector<StoreId>& stores) {
  for (const StoreId& store : stores) {
    const std::string key = pool_key(group, store);
    const auto pool = pools_.find(key);
    if (pool == pools_.end()) continue;
    std::erase(pool->second.sessions, id);
    drop_if_empty(key);
  }
}

void Checkers::session_closed(SessionId id, Session& session) {
  for (const auto& registration : session.registrations) {
    unregister(id, registration.group, registration.stores);
  }
  session.registrations.clear();
  while (!session.asked.empty()) {
    Transaction& transaction = *session.asked.back();
    give_up(transaction);
    update(transaction);
  }
}

}  // namespace tally::broker
