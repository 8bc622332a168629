#include "protocol/net/request_table.h"

#include <algorithm>
#include <limits>

#include "protocol/base/check.h"

namespace tally::net {

namespace {
constexpr int kTickBits = 13;  // 8.192 ms
constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

std::uint32_t slot_of(RequestId id) { return static_cast<std::uint32_t>(id.value); }
std::uint32_t generation_of(RequestId id) { return static_cast<std::uint32_t>(id.value >> 32); }
}  // namespace

RequestTable::RequestTable(std::uint32_t requests_max, std::int64_t now_us)
    : requests_max_(requests_max), tick_(now_us >> kTickBits), next_due_us_(kNever) {
  for (std::uint32_t head = 0; head < kHeads; ++head) heads_[head] = {head, head};
}

RequestTable::Link& RequestTable::link(std::uint32_t node) {
  return node < kHeads ? heads_[node] : slots_[node - kHeads].link;
}

void RequestTable::push_back(std::uint32_t head, std::uint32_t node) {
  const std::uint32_t last = link(head).previous;
  link(node) = {last, head};
  link(last).next = node;
  link(head).previous = node;
}

void RequestTable::unlink(std::uint32_t node) {
  const Link out = link(node);
  link(out.previous).next = out.next;
  link(out.next).previous = out.previous;
}

const RequestTable::Slot* RequestTable::find(RequestId id) const {
  if (slot_of(id) >= slots_.size()) return nullptr;
  const Slot& slot = slots_[slot_of(id)];
  return slot.generation == generation_of(id) && slot.state != State::kFree ? &slot : nullptr;
}

RequestTable::Slot& RequestTable::at(RequestId id) {
  TALLY_CHECK(find(id) != nullptr);
  return slots_[slot_of(id)];
}

RequestId RequestTable::add(RequestKind kind, std::int64_t deadline_us, AnswerCallback&& callback) {
  TALLY_CHECK(!full());
  if (heads_[kFreeList].next == kFreeList) {
    slots_.emplace_back();
    push_back(kFreeList, kHeads + static_cast<std::uint32_t>(slots_.size() - 1));
  }
  const std::uint32_t node = heads_[kFreeList].next;
  unlink(node);
  Slot& slot = slots_[node - kHeads];
  slot.callback = std::move(callback);
  slot.kind = kind;
  slot.state = State::kWaiting;
  slot.frame_bytes = 0;
  slot.sequence = ++sequence_;
  const std::int64_t up =
      (deadline_us >> kTickBits) + ((deadline_us & ((1 << kTickBits) - 1)) != 0);
  slot.due_tick = std::max(up, tick_);
  push_back(static_cast<std::uint32_t>(slot.due_tick % kBuckets), node);
  next_due_us_ = std::min(next_due_us_, slot.due_tick << kTickBits);
  ++open_;
  return RequestId{std::uint64_t{slot.generation} << 32 | (node - kHeads)};
}

bool RequestTable::is_waiting(RequestId id) const {
  const Slot* slot = find(id);
  return slot != nullptr && slot->state == State::kWaiting;
}

void RequestTable::fly(RequestId id) {
  Slot& slot = at(id);
  TALLY_CHECK(slot.state == State::kWaiting);
  slot.state = State::kFlying;
  ++flying_;
}

AnswerCallback RequestTable::refuse(RequestId id) {
  TALLY_CHECK(is_waiting(id));
  return release(slot_of(id));
}

std::optional<RequestTable::Flying> RequestTable::find_flying(RequestId id) const {
  const Slot* slot = find(id);
  if (slot == nullptr || slot->state == State::kWaiting) return std::nullopt;
  return Flying{slot->kind, slot->state == State::kAbandoned};
}

AnswerCallback RequestTable::answer(RequestId id) {
  TALLY_CHECK(find_flying(id).has_value());
  return release(slot_of(id));
}

AnswerCallback RequestTable::release(std::uint32_t index) {
  Slot& slot = slots_[index];
  if (slot.state != State::kWaiting) --flying_;
  if (slot.state != State::kAbandoned) unlink(kHeads + index);
  slot.state = State::kFree;
  // Generation 0 stays free for the ids of the channel's own requests.
  if (++slot.generation == 0) slot.generation = 1;
  --open_;
  AnswerCallback callback = std::move(slot.callback);
  slot.callback = nullptr;
  push_back(kFreeList, kHeads + index);
  return callback;
}

void RequestTable::collect_due(std::int64_t now_us) {
  const std::int64_t now_tick = now_us >> kTickBits;
  const std::int64_t stop = std::min(now_tick, tick_ + kBuckets - 1);  // once round is all there is
  for (; tick_ <= stop; ++tick_) {
    const auto head = static_cast<std::uint32_t>(tick_ % kBuckets);
    for (std::uint32_t node = heads_[head].next; node != head;) {
      const std::uint32_t next = link(node).next;
      if (slots_[node - kHeads].due_tick <= now_tick) {
        unlink(node);
        push_back(kDue, node);
      }
      node = next;
    }
  }
  tick_ = std::max(tick_, now_tick + 1);
}

void RequestTable::find_next_due() {
  next_due_us_ = kNever;
  for (std::int64_t tick = tick_; tick < tick_ + kBuckets; ++tick) {
    const auto head = static_cast<std::uint32_t>(tick % kBuckets);
    if (heads_[head].next == head) continue;
    next_due_us_ = tick << kTickBits;  // maybe of a later round: then the look is repeated
    return;
  }
}

std::optional<RequestTable::Ended> RequestTable::pop_expired(std::int64_t now_us) {
  if (now_us >= next_due_us_) collect_due(now_us);
  const std::uint32_t node = heads_[kDue].next;
  if (node == kDue) {
    if (now_us >= next_due_us_) find_next_due();
    return std::nullopt;
  }
  Slot& slot = slots_[node - kHeads];
  if (slot.state == State::kWaiting) {
    const std::uint32_t frame_bytes = slot.frame_bytes;
    return Ended{release(node - kHeads), false, frame_bytes};
  }
  unlink(node);
  slot.state = State::kAbandoned;
  Ended ended{std::move(slot.callback), true, slot.frame_bytes};
  slot.callback = nullptr;
  return ended;
}

std::vector<RequestTable::Ended> RequestTable::take(bool also_waiting) {
  std::vector<std::pair<std::uint64_t, std::uint32_t>> order;
  for (std::uint32_t index = 0; index < slots_.size(); ++index) {
    const State state = slots_[index].state;
    if (state == State::kAbandoned) release(index);
    if (state == State::kFlying || (also_waiting && state == State::kWaiting)) {
      order.emplace_back(slots_[index].sequence, index);
    }
  }
  std::sort(order.begin(), order.end());
  std::vector<Ended> ended;
  ended.reserve(order.size());
  for (const auto& [sequence, index] : order) {
    const bool was_flying = slots_[index].state == State::kFlying;
    const std::uint32_t frame_bytes = slots_[index].frame_bytes;
    ended.push_back({release(index), was_flying, frame_bytes});
  }
  return ended;
}

std::vector<RequestTable::Ended> RequestTable::take_flying() { return take(false); }
std::vector<RequestTable::Ended> RequestTable::take_all() { return take(true); }

}  // namespace tally::net
