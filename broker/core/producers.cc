#include "broker/core/producers.h"

#include <algorithm>

#include "broker/core/index_keys.h"
#include "broker/core/topics.h"
#include "broker/core/varint.h"
#include "protocol/base/seeded_bug.h"

namespace tally::broker {

std::optional<Result<SendResponse>> Producers::repeated(std::uint64_t producer,
                                                        std::uint64_t sequence,
                                                        std::uint64_t fingerprint) const {
  const auto found = by_id_.find(producer);
  if (found == by_id_.end()) return std::nullopt;
  const Producer& known = *found->second;
  if (sequence + kProducerWindow <= known.newest) {
    return Error(ErrorCode::kExpired, "sequence " + std::to_string(sequence) + " is more than " +
                                          std::to_string(kProducerWindow) +
                                          " behind the newest one, " +
                                          std::to_string(known.newest));
  }
  const std::size_t at = sequence % kProducerWindow;
  if (at >= known.window.size() || known.window[at].sequence != sequence) return std::nullopt;
  if (known.window[at].fingerprint == fingerprint) return known.window[at].place;
  return Error(ErrorCode::kIdReused,
               "sequence " + std::to_string(sequence) + " was sent with other content");
}

void Producers::put(Producer& producer, const NumberedMessage& message) {
  const std::size_t at = message.sequence % kProducerWindow;
  if (at >= producer.window.size()) producer.window.resize(at + 1);
  producer.window[at] = message;
  producer.newest = std::max(producer.newest, message.sequence);
}

void Producers::sent(std::uint64_t producer, const NumberedMessage& message) {
  auto found = by_id_.find(producer);
  if (found == by_id_.end()) {
    if (producers_.size() == kProducersMax) {
      const std::uint64_t oldest = producers_.front().id;
      context_.checkpoint.erase(keys::producer(context_.shard, oldest));
      by_id_.erase(oldest);
      producers_.pop_front();
    }
    producers_.push_back({.id = producer});
    found = by_id_.emplace(producer, std::prev(producers_.end())).first;
  } else {
    producers_.splice(producers_.end(), producers_, found->second);
  }
  Producer& known = *found->second;
  put(known, message);
  if (std::exchange(known.dirty, true)) return;
  dirty_.push_back(producer);
}

std::string Producers::encode(const Producer& producer) {
  std::vector<NumberedMessage> messages;
  for (const NumberedMessage& message : producer.window) {
    if (message.sequence != 0 && message.sequence + kProducerWindow > producer.newest) {
      messages.push_back(message);
    }
  }
  std::sort(messages.begin(), messages.end(),
            [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
  Lsn used{};
  for (const NumberedMessage& message : messages) used = std::max(used, message.place.lsn);
  std::string row;
  put_varint(row, used.value);
  put_varint(row, messages.size());
  std::uint64_t before = 0;
  for (const NumberedMessage& message : messages) {
    put_varint(row, message.sequence - std::exchange(before, message.sequence));
    put_varint(row, used.value - message.place.lsn.value);
    put_varint(row, message.place.queue.value);
    put_varint(row, message.place.offset.value);
    ByteWriter(row).put(message.fingerprint);
  }
  return row;
}

std::optional<std::vector<NumberedMessage>> decode_producer(std::string_view row) {
  ByteReader in(row);
  const std::uint64_t newest_lsn = get_varint(in);
  std::vector<NumberedMessage> messages;
  std::uint64_t sequence = 0;
  for (std::uint64_t left = get_varint(in); left > 0 && in.ok(); --left) {
    sequence += get_varint(in);
    NumberedMessage& message = messages.emplace_back();
    message.sequence = sequence;
    message.place.lsn = Lsn(newest_lsn - get_varint(in));
    message.place.queue = QueueId(get_varint32(in));
    message.place.offset = Offset(get_varint(in));
    message.fingerprint = in.get<std::uint64_t>();
  }
  if (!in.done() || messages.empty()) return std::nullopt;
  return messages;
}

void Producers::collect() {
  for (const std::uint64_t id : dirty_) {
    const auto found = by_id_.find(id);
    if (found == by_id_.end() || !found->second->dirty) continue;
    found->second->dirty = false;
    if (TALLY_SEEDED_BUG("dedup_table_not_durable")) continue;
    context_.checkpoint.put(keys::producer(context_.shard, id), encode(*found->second));
  }
  dirty_.clear();
}

Result<void> Producers::restore(const store::IndexView& index) {
  std::vector<std::pair<Lsn, Producer>> found;
  TALLY_TRY_VOID(
      restore_rows(context_, index, 'v', [&](std::string_view key, std::string_view row) {
        keys::KeyReader reader(key);
        auto& [newest, producer] = found.emplace_back();
        producer.id = reader.u64();
        const auto messages = decode_producer(row);
        if (!reader.done() || !messages) return false;
        for (const NumberedMessage& message : *messages) {
          newest = std::max(newest, message.place.lsn);
          put(producer, message);
        }
        return true;
      }));
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [newest, producer] : found) {
    const std::uint64_t id = producer.id;
    producers_.push_back(std::move(producer));
    by_id_.emplace(id, std::prev(producers_.end()));
  }
  return {};
}

}  // namespace tally::broker
