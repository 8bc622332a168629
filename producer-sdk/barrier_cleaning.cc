#include "producer-sdk/barrier_cleaning.h"

#include <algorithm>
#include <utility>

#include "protocol/base/limits.h"
#include "protocol/base/seeded_bug.h"

namespace tally {
namespace {

// Of the ids in one request, whose header is limited; each takes up to four bytes more.
constexpr std::size_t kIdBytesMax = limits::kRequestHeaderBytesMax - 4 * limits::kFindFinalMax;

}  // namespace

void BarrierCleaning::attach(StoreId store) {
  if (!store.is_zero()) rounds_.try_emplace(store);
}

void BarrierCleaning::connected(std::int64_t now_ms, const HelloResponse& hello) {
  connected_ = true;
  broker_ahead_ms_ = hello.broker_time_ms - now_ms;
  lifetime_ms_ = hello.transaction_lifetime_ms;
  if (std::exchange(log_, hello.log) == hello.log) return;
  for (auto& [store, round] : rounds_) round = {};
}

void BarrierCleaning::close() {
  rounds_.clear();
  page_.reset();
}

std::int64_t BarrierCleaning::next_tick_ms() const {
  if (!connected_ || page_) return kNever;
  std::int64_t next_ms = kNever;
  for (const auto& [store, round] : rounds_) next_ms = std::min(next_ms, round.due_ms);
  return next_ms;
}

std::optional<action::ListBarrier> BarrierCleaning::tick(std::int64_t now_ms) {
  if (now_ms < next_tick_ms()) return std::nullopt;
  const auto first = std::min_element(
      rounds_.begin(), rounds_.end(),
      [](const auto& a, const auto& b) { return a.second.due_ms < b.second.due_ms; });
  const auto& [store, round] = *first;
  const std::int64_t broker_ms = now_ms + broker_ahead_ms_;
  page_ = Page{.store = store,
               .query = {.log = log_,
                         .before_ms = broker_ms - lifetime_ms_ - limits::kBarrierMarginMs,
                         .after_ms = round.after.written_at_ms,
                         .after = round.after.transaction,
                         .limit = limits::kFindFinalMax},
               .listed_at_ms = broker_ms};
  return action::ListBarrier{store, page_->query};
}

std::optional<action::AskFindFinal> BarrierCleaning::listed(
    std::int64_t now_ms, Result<std::vector<BarrierRow>>&& rows) {
  if (!page_) return std::nullopt;
  if (!rows || rows->empty()) {
    round_done(now_ms);
    return std::nullopt;
  }
  page_->more = rows->size() == page_->query.limit;
  FindFinalRequest request;
  std::size_t bytes = 0;
  for (BarrierRow& row : *rows) {
    bytes += row.transaction.size();
    if (bytes > kIdBytesMax) {
      page_->more = true;
      break;
    }
    request.transactions.push_back(row.transaction);
    page_->rows.push_back(std::move(row));
  }
  return action::AskFindFinal{std::move(request)};
}

std::optional<action::ForgetRows> BarrierCleaning::answered(
    std::int64_t now_ms, const Result<FindFinalResponse>& answer) {
  if (!page_) return std::nullopt;
  // What another log says, after a reconnect, means nothing for rows of this one.
  const bool fits =
      answer && answer->finality.size() == page_->rows.size() && page_->query.log == log_;
  if (!fits) {
    round_done(now_ms);
    return std::nullopt;
  }
  action::ForgetRows forget{.store = page_->store, .before_ms = page_->query.before_ms};
  for (std::size_t i = 0; i < page_->rows.size(); ++i) {
    if (is_removable(page_->rows[i], answer->finality[i], answer->known_since_ms)) {
      forget.transactions.push_back(page_->rows[i].transaction);
    }
  }
  if (!forget.transactions.empty()) return forget;
  page_done(now_ms);
  return std::nullopt;
}

bool BarrierCleaning::is_removable(const BarrierRow& row, Finality finality,
                                   std::int64_t known_since_ms) const {
  if (TALLY_SEEDED_BUG("barrier_row_removed_too_early")) return true;
  // The broker's clock says that the row is old, or it would not have been listed. So must the database's: one of them that
  // was stepped removes nothing early.
  const auto is_over = [&](std::int64_t lifetime_ms) {
    return row.age_ms >= lifetime_ms + limits::kBarrierMarginMs;
  };
  const std::int64_t longest_over_ms = page_->listed_at_ms - limits::kTransactionLifetimeMsMax;
  switch (finality) {
    case Finality::kOpen:
      return false;
    case Finality::kFinal:
      return is_over(lifetime_ms_);
    case Finality::kUnknown:
      return is_over(limits::kTransactionLifetimeMsMax) &&
             row.written_at_ms + limits::kBarrierMarginMs <
                 std::min(known_since_ms, longest_over_ms);
  }
  return false;
}

void BarrierCleaning::forgotten(std::int64_t now_ms, const Result<void>& done) {
  if (!page_) return;
  done ? page_done(now_ms) : round_done(now_ms);
}

void BarrierCleaning::page_done(std::int64_t now_ms) {
  if (!page_->more) return round_done(now_ms);
  // Rows that stay never keep those behind them from their turn.
  rounds_[page_->store] = {.due_ms = now_ms + kPageMs, .after = std::move(page_->rows.back())};
  page_.reset();
}

void BarrierCleaning::round_done(std::int64_t now_ms) {
  rounds_[page_->store] = {.due_ms = now_ms + kRoundMs, .after = {}};
  page_.reset();
}

}  // namespace tally
