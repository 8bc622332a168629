#include "tests/simulation/race_watch.h"

namespace tally::simulation {
namespace {

constexpr std::uint64_t kCrowd = 50;
constexpr std::int64_t kMeetUs = 100 * kMs;

}  // namespace

// --- the broker ---

void RaceWatch::admitted(const broker::Command& command) {
  const Key key{command.session.value, command.request.value};
  if (const auto* half = std::get_if<PrepareRequest>(&command.body)) {
    admitted_half(key, *half, command.block_checksum);
  } else if (const auto* end = std::get_if<EndRequest>(&command.body)) {
    const auto newest = newest_half_.find(end->transaction);
    const bool of_older_half = !end->handle.log.is_zero() && newest != newest_half_.end() &&
                               end->handle.lsn.value < newest->second;
    if (of_older_half) observer_.hit(Race::kEndDelayed);
    admitted_end(key, {.transaction = end->transaction, .decision = end->decision});
  } else if (const auto* answer = std::get_if<AnswerCheckRequest>(&command.body)) {
    admitted_end(
        key,
        {.transaction = answer->transaction, .decision = answer->decision, .answers_check = true});
  }
}

void RaceWatch::admitted_half(const Key& key, const PrepareRequest& half, std::uint64_t block) {
  for (const auto& [other, flying] : flying_) {
    const bool same = flying.transaction == half.transaction && flying.message == half.message;
    if (same && other.first != key.first) observer_.hit(Race::kPreparedTwice);
  }
  if (!halves_.emplace(half.transaction, half.message, block).second)
    observer_.hit(Race::kHalfRetried);
  flying_[key] = {.transaction = half.transaction, .message = half.message};
}

void RaceWatch::admitted_end(const Key& key, Flying end) {
  const auto meets = [&](const std::map<std::string, std::int64_t>& times) {
    const auto at = times.find(end.transaction);
    return at != times.end() && world_.now_us() - at->second < kMeetUs;
  };
  if (end.answers_check && end.decision == Decision::kRollback) {
    if (meets(commit_asked_us_)) observer_.hit(Race::kCommitMeetsRollback);
    rollback_by_check_us_[end.transaction] = world_.now_us();
  } else if (!end.answers_check && end.decision == Decision::kCommit) {
    if (meets(rollback_by_check_us_)) observer_.hit(Race::kCommitMeetsRollback);
    commit_asked_us_[end.transaction] = world_.now_us();
  }
  flying_[key] = std::move(end);
}

void RaceWatch::replied(const broker::Reply& reply) {
  auto node = flying_.extract(Key{reply.session.value, reply.request.value});
  if (node.empty()) return;
  const Flying& flying = node.mapped();
  if (!reply.result) {
    const Error& error = reply.result.error();
    const bool rolled_back = error.winner && error.winner->state == TransactionState::kRolledBack;
    if (error.code == ErrorCode::kConflict && rolled_back && flying.decision == Decision::kCommit) {
      observer_.hit(Race::kCommitAfterRollback);
    }
    if (error.code == ErrorCode::kIncomplete) observer_.hit(Race::kEndOvertakesHalf);
    if (error.code == ErrorCode::kWrongChallenge && uninvited_.contains(flying.transaction)) {
      observer_.hit(Race::kUnrelatedAnswers);
    }
    return;
  }
  if (const auto* stored = std::get_if<PrepareResponse>(&*reply.result)) {
    newest_half_[flying.transaction] = stored->handle.lsn.value;
    if (given_up_.contains(flying.transaction)) observer_.hit(Race::kHalfAfterGivingUp);
  } else if (flying.decision != Decision::kUnknown) {
    decided_.insert(flying.transaction);
  }
}

void RaceWatch::broker_died(std::uint64_t ends_not_applied, std::uint64_t ends_not_answered) {
  flying_.clear();
  if (ends_not_applied > 0) observer_.hit(Race::kDeathBeforeApply);
  if (ends_not_answered > 0) observer_.hit(Race::kDeathBeforeAnswer);
}

void RaceWatch::broker_started(std::uint64_t pending, bool late) {
  if (pending > 0 && late) observer_.hit(Race::kDownLongerThanRetention);
  if (pending >= kCrowd) observer_.hit(Race::kManyPendingAtStart);
}

void RaceWatch::clock_jumped(std::uint64_t pending) {
  if (pending > 0) observer_.hit(Race::kClockJump);
}

// --- producers ---

void RaceWatch::local_work_began(const std::string& transaction) {
  local_work_.insert(transaction);
}

void RaceWatch::local_work_ended(const std::string& transaction) { local_work_.erase(transaction); }

void RaceWatch::producer_died(const std::string& transaction, Step step) {
  local_work_.erase(transaction);
  if (step == Step::kAfterLocalCommit) observer_.hit(Race::kDeathAfterLocalCommit);
  if (step == Step::kAfterHalf || step == Step::kInsideLocalWork) {
    died_before_commit_.insert(transaction);
  }
}

void RaceWatch::check_asked(const std::string& transaction) {
  if (local_work_.contains(transaction)) observer_.hit(Race::kCheckDuringLocalWork);
}

void RaceWatch::check_answered(const std::string& transaction, Decision decision) {
  if (decision == Decision::kRollback && died_before_commit_.erase(transaction) > 0) {
    observer_.hit(Race::kOtherInstanceAnswers);
  }
}

void RaceWatch::went_on_with(const std::string& transaction) {
  if (decided_.contains(transaction)) observer_.hit(Race::kOldInstanceReturns);
}

}  // namespace tally::simulation
