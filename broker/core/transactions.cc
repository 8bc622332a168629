#include "broker/core/transactions.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "broker/core/index_keys.h"
#include "broker/core/topics.h"
#include "protocol/base/bytes.h"
#include "protocol/base/checksum.h"

namespace tally::broker {

namespace {

/// The low byte chooses the table, the others the bucket.
std::uint32_t hash_of(std::string_view id) { return static_cast<std::uint32_t>(checksum(id)); }

}  // namespace

std::uint64_t fingerprint(TopicUid topic, std::uint32_t number, std::uint64_t content_digest) {
  char raw[16];
  store_le(raw, content_digest);
  store_le(raw + 8, topic.value);
  store_le(raw + 12, number);
  return checksum(std::string_view(raw, sizeof raw));
}

void Halves::push_back(const Half& half) {
  if (size_ == 0) {
    only_ = half;
  } else {
    if (size_ >= capacity_) {
      const auto wider = static_cast<std::uint8_t>(size_ == 1 ? 4 : size_ * 2);
      auto all = std::make_unique<Half[]>(wider);
      std::copy(begin(), end(), all.get());
      more_ = std::move(all);
      capacity_ = wider;
    }
    more_[size_] = half;
  }
  ++size_;
}

void IdText::set(std::string_view id) {
  clear();
  char* to = near_;
  if (id.size() > kNearBytes) {
    to = std::make_unique<char[]>(id.size()).release();
    std::memcpy(near_, &to, sizeof to);
  }
  std::copy(id.begin(), id.end(), to);
  bytes_ = static_cast<std::uint8_t>(id.size());
}

void IdText::clear() {
  if (is_far()) std::unique_ptr<char[]>(far()).reset();
  bytes_ = 0;
}

char* IdText::far() const {
  char* text = nullptr;
  std::memcpy(&text, near_, sizeof text);
  return text;
}

bool Transaction::has(std::uint64_t half_fingerprint) const {
  for (const Half& half : halves) {
    if (half.fingerprint == half_fingerprint) return true;
  }
  return false;
}

const Half* Transaction::find(std::uint32_t number) const {
  for (const Half& half : halves) {
    if (half.number == number) return &half;
  }
  return nullptr;
}

std::uint64_t Transaction::block_bytes() const {
  std::uint64_t bytes = 0;
  for (const Half& half : halves) bytes += half.message.block_bytes;
  return bytes;
}

std::string_view Transaction::decided_by_client() const {
  if (!is_decided(state) || decided_by == Decider::kBroker) return {};
  return history && !history->decided_by.empty() ? history->decided_by : client();
}

Winner Transaction::winner() const {
  return {.state = public_state(state), .decided_by = decided_by, .decided_at_ms = decided_at_ms};
}

void Transaction::clear() {
  unlink();
  id_text.clear();
  origin = {};
  state = TxState::kNone;
  decided_by = {};
  lsn = decided_lsn = {};
  time_ms = decided_at_ms = 0;
  first_check_ms = lifetime_ms = 0;
  checks = 0;
  halves.clear();
  history.reset();
  pins = end_bytes = 0;
  ending = delayed = false;
  loading = dirty = writing = fresh = open_row = lingering = false;
  hash = 0;
  next_in_bucket = nullptr;
  owner = {};
  asked.reset();
  outstanding = received = counting = parking = waiting = false;
  not_before_ms = 0;
}

std::uint32_t end_bytes(std::string_view id, std::string_view group, std::string_view client) {
  constexpr std::size_t kFixed = 2 + 4 + 32 + 1 + 1 + 1 + 2;
  const std::size_t record =
      store::kRecordHeaderBytes + kFixed + id.size() + group.size() + client.size();
  // An entry of its own, or its share of the page that a longer one is filled up to.
  const std::size_t around = std::max(store::kEntryHeadBytes + store::kEntryAlignment, record / 3);
  return static_cast<std::uint32_t>(record + around);
}

void Transactions::reserve_end(Transaction& transaction, std::string_view group,
                               std::string_view client) {
  if (transaction.end_bytes != 0) return;
  transaction.end_bytes = end_bytes(transaction.id(), group, client);
  context_.end_bytes_reserved += transaction.end_bytes;
}

void Transactions::release_end(Transaction& transaction) {
  context_.end_bytes_reserved -= std::exchange(transaction.end_bytes, 0u);
}

Transaction* Transactions::find(std::string_view id) {
  const std::uint32_t hash = hash_of(id);
  const Table& table = tables_[hash & 0xFF];
  if (table.buckets.empty()) return nullptr;
  Transaction* t = table.buckets[(hash >> 8) & (table.buckets.size() - 1)];
  while (t != nullptr && (t->hash != hash || t->id() != id)) t = t->next_in_bucket;
  if (t != nullptr) forget_old_decision(*t);
  return t;
}

Transaction& Transactions::obtain(std::string_view id) {
  Transaction* const found = find(id);
  return found != nullptr ? *found : make(id);
}

Transaction& Transactions::make(std::string_view id) {
  if (spare_.empty()) {
    Transaction* const chunk = storage_.emplace_back(std::make_unique<Transaction[]>(kChunk)).get();
    for (std::size_t i = kChunk; i > 0; --i) spare_.push_back(&chunk[i - 1]);
  }
  Transaction& made = *spare_.back();
  spare_.pop_back();
  made.id_text.set(id);
  insert(made);
  return made;
}

void Transactions::insert(Transaction& transaction) {
  transaction.hash = hash_of(transaction.id());
  Table& table = tables_[transaction.hash & 0xFF];
  if (table.size >= table.buckets.size()) {
    std::vector<Transaction*> wider(table.buckets.empty() ? 16 : table.buckets.size() * 2);
    for (Transaction* t : table.buckets) {
      while (t != nullptr) {
        Transaction* const next = t->next_in_bucket;
        Transaction*& bucket = wider[(t->hash >> 8) & (wider.size() - 1)];
        t->next_in_bucket = bucket;
        bucket = t;
        t = next;
      }
    }
    table.buckets = std::move(wider);
  }
  Transaction*& bucket = table.buckets[(transaction.hash >> 8) & (table.buckets.size() - 1)];
  transaction.next_in_bucket = bucket;
  bucket = &transaction;
  ++table.size;
}

void Transactions::remove(Transaction& transaction) {
  Table& table = tables_[transaction.hash & 0xFF];
  Transaction** at = &table.buckets[(transaction.hash >> 8) & (table.buckets.size() - 1)];
  while (*at != &transaction) at = &(*at)->next_in_bucket;
  *at = transaction.next_in_bucket;
  --table.size;
  release_end(transaction);
  transaction.clear();
  spare_.push_back(&transaction);
}

void Transactions::count(TxState state, std::int64_t time_ms, std::int64_t by) {
  auto& counters = context_.counters;
  if (state == TxState::kParked) counters.parked += static_cast<std::uint64_t>(by);
  if (state != TxState::kPending) return;
  counters.pending += static_cast<std::uint64_t>(by);
  const auto since = pending_since_.try_emplace(time_ms, 0).first;
  since->second += by;
  if (since->second == 0) pending_since_.erase(since);
}

void Transactions::set_state(Transaction& transaction, TxState state) {
  count(transaction.state, transaction.time_ms, -1);
  transaction.state = state;
  count(state, transaction.time_ms, 1);
}

void Transactions::changed(Transaction& transaction) {
  if (transaction.dirty) return;
  transaction.dirty = true;
  dirty_.push_back(&transaction);
}

void Transactions::decided(Transaction& transaction) {
  changed(transaction);
  context_.checkpoint.put(keys::transaction(context_.shard, keys::Kind::kDecided, transaction.id()),
                          encode_decided(transaction));
  if (transaction.open_row) {
    transaction.open_row = false;
    context_.checkpoint.erase(
        keys::transaction(context_.shard, keys::Kind::kOpen, transaction.id()));
  }
  if (transaction.fresh || transaction.lingering || !context_.serving) return;
  if (lingering_.size() == kLingeringMax) stop_lingering();
  transaction.lingering = true;
  lingering_.push_back({context_.clock.boot_ms() + kLingerMs, &transaction});
}

void Transactions::stop_lingering() {
  Transaction& transaction = *lingering_.front().transaction;
  lingering_.pop_front();
  transaction.lingering = false;
  release_if_idle(transaction);
}

void Transactions::tick(std::int64_t boot_ms) {
  while (!lingering_.empty() && lingering_.front().until_ms <= boot_ms) stop_lingering();
}

void Transactions::release_if_idle(Transaction& transaction) {
  if (is_open(transaction.state) || transaction.pins != 0 || transaction.dirty ||
      transaction.writing || transaction.lingering) {
    return;
  }
  remove(transaction);
}

void Transactions::collect() {
  release_some(releasing_.size());
  for (Transaction* t : dirty_) {
    t->dirty = false;
    t->writing = true;
    if (!is_open(t->state)) continue;
    context_.checkpoint.put(keys::transaction(context_.shard, keys::Kind::kOpen, t->id()),
                            encode_open(*t));
    if (t->fresh && !t->open_row) {
      context_.checkpoint.erase(keys::transaction(context_.shard, keys::Kind::kDecided, t->id()));
    }
    t->open_row = true;
  }
  writing_.swap(dirty_);
}

void Transactions::checkpoint_done() { releasing_.swap(writing_); }

void Transactions::release_some(std::size_t most) {
  for (; most > 0 && !releasing_.empty(); --most) {
    Transaction& transaction = *releasing_.back();
    releasing_.pop_back();
    transaction.writing = false;
    release_if_idle(transaction);
  }
}

bool Transactions::read_decided(std::string_view id, std::string_view row, Transaction& to) {
  if (!decode_decided(id, row, origins_, to)) return false;
  forget_old_decision(to);
  return true;
}

Result<void> Transactions::look_up(const store::IndexView& index, std::string_view id) {
  TALLY_TRY(auto row, index.get(keys::transaction(context_.shard, keys::Kind::kDecided, id)));
  if (!row || insert_decided(id, *row)) return {};
  return Error(ErrorCode::kDataDamaged, "the index has a decided transaction that does not decode");
}

Result<void> Transactions::restore(const store::IndexView& index) {
  return restore_rows(context_, index, 'p', [&](std::string_view key, std::string_view row) {
    const auto id = keys::id_of_form(keys::KeyReader(key).rest());
    if (!id) return false;
    Transaction& transaction = obtain(*id);
    if (!decode_open(*id, row, origins_, transaction)) return false;
    transaction.open_row = true;
    reserve_end(transaction, transaction.group(), transaction.client());
    count(transaction.state, transaction.time_ms, 1);
    return true;
  });
}

}  // namespace tally::broker
