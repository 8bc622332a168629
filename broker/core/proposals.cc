#include "broker/core/proposals.h"

#include "protocol/base/check.h"

namespace tally::broker {
namespace {

constexpr std::size_t kSpareMax = 8;  // more would only keep the memory of a burst
constexpr Term kTerm{1};              // of the only replica

}  // namespace

Proposals::Proposals(std::uint64_t entry_bytes_max)
    : entry_bytes_max_(entry_bytes_max), open_(std::make_unique<store::Entry>()) {}

void Proposals::start(EntryIndex next, Lsn end) {
  next_ = next;
  end_ = end;
  begin();
}

void Proposals::begin() { open_->begin(next_, kTerm, end_); }

void Proposals::propose_mark(std::int64_t now_ms) {
  scratch_.clear();
  add(store::RecordType::kMark, Waiter{}, now_ms, TopicUid{}, 0, {}, 0);
}

void Proposals::add(store::RecordType type, const Waiter& waiter, std::int64_t now_ms,
                    TopicUid topic, std::uint8_t flags, std::string_view block,
                    std::uint64_t block_checksum) {
  const std::uint64_t bytes = store::kRecordHeaderBytes + scratch_.size() + block.size();
  if (!open_->empty() && open_->bytes() + bytes > entry_bytes_max_) seal(now_ms);
  if (open_->empty()) {
    in_flight_.emplace_back();
    if (!spare_waiters_.empty()) {
      in_flight_.back().waiters = std::move(spare_waiters_.back());
      spare_waiters_.pop_back();
    }
  }
  open_->add(type, flags, topic, scratch_, block, block_checksum);
  in_flight_.back().waiters.push_back(waiter);
  in_flight_.back().bytes += bytes;
  bytes_in_flight_ += bytes;
}

void Proposals::keep(const store::Keepalive& bytes) { open_->keep(bytes); }

void Proposals::seal(std::int64_t now_ms) {
  open_->seal(now_ms);
  next_ = EntryIndex(next_.value + 1);
  end_ = open_->header().end();
  sealed_.push_back(std::move(open_));
  if (spare_entries_.empty()) {
    open_ = std::make_unique<store::Entry>();
  } else {
    open_ = std::move(spare_entries_.back());
    spare_entries_.pop_back();
  }
  begin();
}

std::unique_ptr<store::Entry> Proposals::take(std::int64_t now_ms) {
  TALLY_CHECK(has_entry());
  if (sealed_.empty()) seal(now_ms);
  auto entry = std::move(sealed_.front());
  sealed_.pop_front();
  return entry;
}

void Proposals::pop_front(std::unique_ptr<store::Entry> entry) {
  bytes_in_flight_ -= in_flight_.front().bytes;
  if (spare_waiters_.size() < kSpareMax) {
    spare_waiters_.push_back(std::move(in_flight_.front().waiters));
    spare_waiters_.back().clear();
  }
  in_flight_.pop_front();
  entry->clear();
  if (spare_entries_.size() < kSpareMax) spare_entries_.push_back(std::move(entry));
}

}  // namespace tally::broker
