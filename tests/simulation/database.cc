#include "tests/simulation/database.h"

#include "protocol/base/check.h"
#include "protocol/base/seeded_bug.h"

namespace tally::simulation {
namespace {

LocalOutcome rolled_back(ErrorCode code, const char* why, bool other_half = false) {
  return {
      .kind = LocalOutcome::Kind::kRolledBack, .cause = Error(code, why), .other_half = other_half};
}

LocalOutcome outcome_of(const Database::Row& row, const Handle& handle) {
  const bool other_half = row.handle != handle;
  if (row.letter == 'C') {
    return {.kind = LocalOutcome::Kind::kAlreadyCommitted, .other_half = other_half};
  }
  return rolled_back(ErrorCode::kTransactionEnded, "a check-back decided rollback", other_half);
}

CheckVerdict verdict_of(const Database::Row& row, const Handle& handle) {
  if (row.handle != handle) return {Decision::kRollback, "the id stands for another half"};
  if (row.letter == 'C') return {Decision::kCommit, "barrier row found"};
  return {Decision::kRollback, "tombstone found"};
}

void tell_rolled_back(Observer& observer, const std::set<std::string>& expected,
                      const std::set<std::string>& committed) {
  for (const std::string& transaction : expected) {
    if (committed.contains(transaction)) continue;
    observer.add("database", test::LocalOutcome{transaction, test::Truth::kRolledBack});
  }
}

}  // namespace

Database::Database(World& world, Observer& observer, std::uint8_t number)
    : world_(world), observer_(observer) {
  store_.bytes.fill(number);
}

std::optional<Database::Begun> Database::begin(const std::string& transaction, const Handle& handle,
                                               std::int64_t deadline_ms) {
  if (locks_.contains(transaction)) return std::nullopt;
  if (const auto row = rows_.find(transaction); row != rows_.end()) {
    return Begun{.refused = outcome_of(row->second, handle)};
  }
  if (wall_.at(world_) >= deadline_ms) {
    return Begun{.refused = rolled_back(ErrorCode::kDeadlineExceeded, "the lifetime is over")};
  }
  const Local local = ++newest_;
  open_[local] = {transaction, {handle, 'C', world_.now_ms()}};
  locks_[transaction] = local;
  return Begun{.local = local};
}

void Database::commit(Local local) {
  auto node = open_.extract(local);
  if (node.empty()) return;
  Open& open = node.mapped();
  locks_.erase(open.transaction);
  TALLY_CHECK(rows_.emplace(open.transaction, open.row).second);
  business_.insert(open.transaction);
  observer_.add("database", test::LocalOutcome{open.transaction, test::Truth::kCommitted});
}

void Database::roll_back(Local local) {
  auto node = open_.extract(local);
  if (!node.empty()) locks_.erase(node.mapped().transaction);
}

std::optional<CheckVerdict> Database::check(const std::string& transaction, const Handle& handle) {
  const auto row = rows_.find(transaction);
  if (row != rows_.end()) return verdict_of(row->second, handle);
  if (TALLY_SEEDED_BUG("rollback_for_a_row_not_visible_yet"))
    return CheckVerdict{Decision::kRollback, {}};
  if (locks_.contains(transaction)) return std::nullopt;
  rows_[transaction] = {handle, 'R', world_.now_ms()};
  return CheckVerdict{Decision::kRollback, "no barrier row: tombstone written"};
}

void Database::tell_truth() { tell_rolled_back(observer_, expected_, business_); }

void Database::forget(const std::string& transaction) { rows_.erase(transaction); }

void ListenerState::commit(const std::string& transaction) {
  committed_.insert(transaction);
  observer_.add("listener", test::LocalOutcome{transaction, test::Truth::kCommitted});
}

void ListenerState::tell_truth() { tell_rolled_back(observer_, expected_, committed_); }

}  // namespace tally::simulation
