// What callers of in_transaction() and check threads do: local transactions and checks, in steps of virtual time.

#include <algorithm>

#include "tests/simulation/sdk_producer.h"

namespace tally::simulation {
namespace {

constexpr std::int64_t kLockPollMs = 20;
constexpr std::int64_t kBusyMs = 1'000;     // a local transaction waits so long for a lock
constexpr std::int64_t kCheckBusyMs = 250;  // a check

LocalOutcome rolled_back(ErrorCode code, std::string why) {
  return {.kind = LocalOutcome::Kind::kRolledBack, .cause = Error(code, std::move(why))};
}

LocalOutcome lifetime_over() {
  return rolled_back(ErrorCode::kDeadlineExceeded, "the lifetime is over");
}

}  // namespace

std::int64_t SdkProducer::to_wall_ms(std::int64_t boot_ms_of_it) const {
  return wall_.at(world()) + (boot_ms_of_it - boot_ms());
}

void SdkProducer::run_local(TransactionKey key) {
  if (identity_.database == nullptr) return run_listener(key);
  calls_.at(key).wait_until_ms = boot_ms() + kBusyMs;
  begin_on_database(key);
}

void SdkProducer::begin_on_database(TransactionKey key) {
  Call& call = calls_.at(key);
  if (boot_ms() >= call.deadline_ms) return conclude(key, lifetime_over());
  auto begun = identity_.database->begin(call.id, call.handle, to_wall_ms(call.deadline_ms));
  if (!begun && boot_ms() < call.wait_until_ms) {
    return after(kLockPollMs * kMs, [this, key] { begin_on_database(key); });
  }
  if (!begun) return conclude(key, rolled_back(ErrorCode::kDatabaseBusy, "the row is locked"));
  if (begun->refused) return conclude(key, *begun->refused);
  call.local = begun->local;
  call.at = Step::kInsideLocalWork;
  around_.watch.local_work_began(call.id);
  const std::int64_t most_ms =
      random_.one_in(20) ? 20 * options_.local_work_ms : options_.local_work_ms;
  after(random_.between(1, most_ms * kMs), [this, key] { work(key); });
}

void SdkProducer::work(TransactionKey key) {
  if (fate(Step::kInsideLocalWork)) return;
  Call& call = calls_.at(key);
  if (!random_.chance(options_.local_rollback)) return commit(key);
  around_.watch.local_work_ended(call.id);
  identity_.database->roll_back(std::exchange(call.local, 0));
  conclude(key, {.kind = LocalOutcome::Kind::kRolledBack});
}

void SdkProducer::commit(TransactionKey key) {
  Call& call = calls_.at(key);
  around_.watch.local_work_ended(call.id);
  if (random_.chance(faults_.database_failure)) return commit_failed(key);
  identity_.database->commit(std::exchange(call.local, 0));
  call.at = Step::kAfterLocalCommit;
  if (fate(Step::kAfterLocalCommit)) return;
  conclude(key, {.kind = LocalOutcome::Kind::kCommitted});
}

/// The connection to the database broke during COMMIT: what became of it is asked on another one.
void SdkProducer::commit_failed(TransactionKey key) {
  Call& call = calls_.at(key);
  const Database::Local local = std::exchange(call.local, 0);
  Database* database = identity_.database;
  if (random_.one_in(2)) {
    database->commit(local);
  } else {
    world().after(random_.between(0, 400) * kMs, [database, local] { database->roll_back(local); });
  }
  check_database(call.id, call.handle, boot_ms() + kCheckBusyMs,
                 [this, key](const CheckVerdict& verdict) {
                   switch (verdict.decision) {
                     case Decision::kCommit:
                       return conclude(key, {.kind = LocalOutcome::Kind::kCommitted});
                     case Decision::kRollback:
                       return conclude(key, rolled_back(ErrorCode::kDatabase, "COMMIT failed"));
                     case Decision::kUnknown:
                       return finish(key, {.kind = LocalOutcome::Kind::kUnknown,
                                           .cause = Error(ErrorCode::kDatabaseOutcomeUnknown, {})});
                   }
                 });
}

/// As in producer.cc: work under an id of the caller may run elsewhere and commit yet.
void SdkProducer::conclude(TransactionKey key, const LocalOutcome& outcome) {
  const Call& call = calls_.at(key);
  const bool alone = !call.id_of_caller || outcome.other_half;
  if (outcome.kind != LocalOutcome::Kind::kRolledBack || alone) return finish(key, outcome);
  check_database(call.id, call.handle, boot_ms() + kCheckBusyMs,
                 [this, key, outcome](const CheckVerdict& verdict) {
                   switch (verdict.decision) {
                     case Decision::kCommit:
                       return finish(key, {.kind = LocalOutcome::Kind::kAlreadyCommitted});
                     case Decision::kRollback:
                       return finish(key, outcome);
                     case Decision::kUnknown:
                       return finish(key, {.kind = LocalOutcome::Kind::kUnknown,
                                           .cause = Error(ErrorCode::kDatabaseOutcomeUnknown, {})});
                   }
                 });
}

void SdkProducer::finish(TransactionKey key, const LocalOutcome& outcome) {
  world().trace(name(), "local work of ", calls_.at(key).id, " ended ",
                static_cast<int>(outcome.kind));
  calls_.erase(key);
  core_->local_finished(boot_ms(), key, outcome);
  pump();
}

// --- a listener ---

void SdkProducer::run_listener(TransactionKey key) {
  Call& call = calls_.at(key);
  const std::int64_t left_ms = call.deadline_ms - boot_ms();
  if (left_ms <= 0) return finish(key, lifetime_over());
  call.at = Step::kInsideLocalWork;
  around_.watch.local_work_began(call.id);
  const std::int64_t most_ms = random_.one_in(20) ? left_ms : options_.local_work_ms;
  after(random_.between(1, std::min(most_ms, left_ms) * kMs), [this, key] { listener_ends(key); });
}

void SdkProducer::listener_ends(TransactionKey key) {
  if (fate(Step::kInsideLocalWork)) return;
  Call& call = calls_.at(key);
  around_.watch.local_work_ended(call.id);
  // It was told its deadline, and keeps to it.
  const bool late = boot_ms() >= call.deadline_ms;
  const bool commits = !late && !random_.chance(options_.local_rollback);
  if (commits) {
    identity_.listener->commit(call.id);
    call.at = Step::kAfterLocalCommit;
    if (fate(Step::kAfterLocalCommit)) return;
  }
  if (random_.one_in(20)) {
    return finish(key, {.kind = LocalOutcome::Kind::kUnknown,
                        .cause = Error(ErrorCode::kHandlerFailed, "execute() threw")});
  }
  finish(key, {.kind = commits ? LocalOutcome::Kind::kCommitted : LocalOutcome::Kind::kRolledBack});
}

void SdkProducer::check_listener(const action::CheckLocal& check) {
  const bool committed = identity_.listener->is_committed(check.transaction);
  if (!committed && random_.one_in(4)) return answer_check(check, {Decision::kUnknown, {}});
  answer_check(check, {committed ? Decision::kCommit : Decision::kRollback, {}});
}

// --- checks ---

void SdkProducer::perform(const action::CheckLocal& check) {
  after(random_.between(100, 5'000), [this, check] {
    if (identity_.database == nullptr) return check_listener(check);
    check_database(check.transaction, check.handle, boot_ms() + kCheckBusyMs,
                   [this, check](const CheckVerdict& verdict) { answer_check(check, verdict); });
  });
}

void SdkProducer::check_database(const std::string& transaction, const Handle& handle,
                                 std::int64_t until_ms, Verdict then) {
  const bool lost_before = random_.chance(faults_.database_failure / 2);
  const auto verdict = lost_before ? CheckVerdict{Decision::kUnknown, "no connection"}
                                   : identity_.database->check(transaction, handle);
  const bool lost_after = random_.chance(faults_.database_failure / 2);
  if (verdict && lost_after) return then({Decision::kUnknown, "the connection was lost"});
  if (verdict) return then(*verdict);
  if (boot_ms() >= until_ms) return then({Decision::kUnknown, "row locked: still running"});
  after(kLockPollMs * kMs, [this, transaction, handle, until_ms, then = std::move(then)] {
    check_database(transaction, handle, until_ms, then);
  });
}

void SdkProducer::answer_check(const action::CheckLocal& check, const CheckVerdict& verdict) {
  core_->check_finished(boot_ms(), check.ticket, verdict);
  pump();
}

}  // namespace tally::simulation
