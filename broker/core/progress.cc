#include "broker/core/progress.h"

#include <algorithm>
#include <iterator>
#include <tally/error.hpp>

#include "broker/core/backoff.h"
#include "broker/core/varint.h"
#include "protocol/base/requests.h"
#include "protocol/base/seeded_bug.h"

namespace tally::broker {

bool Progress::settle(const store::SettleEntry& item, std::uint64_t next, std::int64_t time_ms,
                      const store::ConfigExtension& config, std::uint64_t hash) {
  const auto retry = retries_.find(item.offset);
  const bool retrying = retry != retries_.end();
  if (!retrying && (item.offset >= next || first_unsettled(item.offset) != item.offset))
    return false;
  const std::uint32_t current = retrying ? retry->second.attempt : 1;
  const bool old = TALLY_SEEDED_BUG("old_attempt_ack_accepted") && item.attempt < current;
  if (item.attempt != current && !old) return false;

  if (!retrying) mark_settled(item.offset);
  const auto action = SettleAction(item.action);
  if (action == SettleAction::kNack && current < config.attempts_max) {
    const std::int64_t delay = item.delay_ms >= 0 ? item.delay_ms
                                                  : backoff_ms(config.retry_backoff_ms, current - 1,
                                                               config.retry_backoff_max_ms,
                                                               hash ^ mix(item.offset + current));
    retries_[item.offset] = Retry{.attempt = current + 1, .due_ms = time_ms + delay};
    return true;
  }
  if (retrying) retries_.erase(retry);
  if (action != SettleAction::kAck) ++dead_lettered_;
  return true;
}

void Progress::mark_settled(std::uint64_t offset) {
  if (offset == floor_) {
    ++floor_;
    if (!ranges_.empty() && ranges_.begin()->first == floor_) {
      const auto first = ranges_.begin();
      settled_count_ -= first->second - first->first;
      floor_ = first->second;
      ranges_.erase(first);
    }
    return;
  }
  ++settled_count_;
  auto after = ranges_.upper_bound(offset);
  const bool joins_after = after != ranges_.end() && after->first == offset + 1;
  if (after != ranges_.begin()) {
    const auto before = std::prev(after);
    if (before->second == offset) {
      before->second = joins_after ? after->second : offset + 1;
      if (joins_after) ranges_.erase(after);
      return;
    }
  }
  const std::uint64_t end = joins_after ? after->second : offset + 1;
  if (joins_after) after = ranges_.erase(after);
  ranges_.emplace_hint(after, offset, end);
}

bool Progress::lose_below(std::uint64_t first) {
  const std::uint64_t floor_before = floor_;
  const std::uint64_t lost_before = lost_;
  if (floor_ < first) {
    lost_ += first - floor_;
    floor_ = first;
    while (!ranges_.empty() && ranges_.begin()->first <= floor_) {
      const auto [from, end] = *ranges_.begin();
      lost_ -= std::min(end, first) - from;
      settled_count_ -= end - from;
      floor_ = std::max(floor_, end);
      ranges_.erase(ranges_.begin());
    }
  }
  const auto kept = retries_.lower_bound(first);
  lost_ += static_cast<std::uint64_t>(std::distance(retries_.begin(), kept));
  retries_.erase(retries_.begin(), kept);
  return floor_ != floor_before || lost_ != lost_before;
}

std::uint64_t Progress::first_unsettled(std::uint64_t offset) const {
  if (offset < floor_) offset = floor_;
  const auto after = ranges_.upper_bound(offset);
  if (after == ranges_.begin()) return offset;
  return std::max(offset, std::prev(after)->second);
}

std::uint32_t Progress::attempt(std::uint64_t offset) const {
  const auto retry = retries_.find(offset);
  return retry == retries_.end() ? 1 : retry->second.attempt;
}

std::string Progress::encode() const {
  std::string value;
  put_varint(value, floor_);
  put_varint(value, dead_lettered_);
  put_varint(value, lost_);
  put_varint(value, ranges_.size());
  std::uint64_t before = floor_;
  for (const auto& [first, end] : ranges_) {
    put_varint(value, first - before);
    put_varint(value, end - first);
    before = end;
  }
  put_varint(value, retries_.size());
  for (const auto& [offset, retry] : retries_) {
    put_varint(value, offset);
    put_varint(value, retry.attempt);
    put_signed_varint(value, retry.due_ms);
  }
  return value;
}

std::optional<Progress> Progress::decode(std::string_view value) {
  ByteReader in(value);
  Progress progress;
  progress.floor_ = get_varint(in);
  progress.dead_lettered_ = get_varint(in);
  progress.lost_ = get_varint(in);
  std::uint64_t before = progress.floor_;
  for (std::uint64_t left = get_varint(in); left > 0 && in.ok(); --left) {
    const std::uint64_t first = before + get_varint(in);
    before = first + get_varint(in);
    progress.ranges_.emplace_hint(progress.ranges_.end(), first, before);
    progress.settled_count_ += before - first;
  }
  for (std::uint64_t left = get_varint(in); left > 0 && in.ok(); --left) {
    const std::uint64_t offset = get_varint(in);
    const std::uint32_t attempt = get_varint32(in);
    progress.retries_[offset] = Retry{.attempt = attempt, .due_ms = get_signed_varint(in)};
  }
  if (!in.done()) return std::nullopt;
  return progress;
}

}  // namespace tally::broker
