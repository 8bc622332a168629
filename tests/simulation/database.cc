#include "tests/simulation/database.h"

#include <algorithm>
#include <tuple>

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
  open_[local] = {transaction, {handle, 'C', wall_.at(world_)}};
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
  rows_[transaction] = {handle, 'R', wall_.at(world_)};
  return CheckVerdict{Decision::kRollback, "no barrier row: tombstone written"};
}

void Database::tell_truth() { tell_rolled_back(observer_, expected_, business_); }

std::vector<BarrierRow> Database::barrier_rows(const BarrierQuery& query) const {
  std::vector<BarrierRow> found;
  for (const auto& [id, row] : rows_) {
    if (row.handle.log != query.log || row.written_ms >= query.before_ms) continue;
    if (std::pair(row.written_ms, id) <= std::pair(query.after_ms, query.after)) continue;
    found.push_back({id, row.written_ms, wall_.at(world_) - row.written_ms});
  }
  std::sort(found.begin(), found.end(), [](const BarrierRow& a, const BarrierRow& b) {
    return std::tie(a.written_at_ms, a.transaction) < std::tie(b.written_at_ms, b.transaction);
  });
  if (found.size() > query.limit) found.resize(query.limit);
  return found;
}

void Database::forget(const std::vector<std::string>& transactions, std::int64_t before_ms) {
  for (const std::string& id : transactions) {
    const auto row = rows_.find(id);
    if (row != rows_.end() && row->second.written_ms < before_ms) rows_.erase(row);
  }
}

void ListenerState::commit(const std::string& transaction) {
  committed_.insert(transaction);
  observer_.add("listener", test::LocalOutcome{transaction, test::Truth::kCommitted});
}

void ListenerState::tell_truth() { tell_rolled_back(observer_, expected_, committed_); }

}  // namespace tally::simulation
