#include "broker/core/lasting_rows.h"

#include <algorithm>
#include <span>

#include "broker/core/base_rows.h"
#include "broker/core/queue_index.h"
#include "broker/core/topics.h"
#include "broker/core/varint.h"

namespace tally::broker {
namespace {

using keys::Kind;

Kind kind_of(std::string_view key) {
  return key.size() < keys::kPrefixBytes ? Kind() : Kind(key[keys::kPrefixBytes - 1]);
}

/// The row of the configuration: what stands before and after how far the retention clock is behind.
struct ConfigRow {
  std::string_view before{};
  std::string_view after{};
  Lsn horizon{};
};
std::optional<ConfigRow> split_config(std::string_view row) {
  ByteReader in(row);
  in.get_bytes(2);
  ConfigRow parts{.horizon = Lsn(get_varint(in))};
  get_varint(in);  // its time
  parts.before = row.substr(0, row.size() - in.left());
  get_signed_varint(in);
  if (!in.ok()) return std::nullopt;
  parts.after = row.substr(row.size() - in.left());
  return parts;
}

std::string lasting_config(std::string_view row) {
  const auto parts = split_config(row);
  if (!parts) return std::string(row);
  return std::string(parts->before).append(parts->after);
}

std::string lasting_queue(std::string_view row) {
  const auto queue = decode_queue(row);
  if (!queue) return std::string(row);
  std::string kept;
  put_varint(kept, queue->next);
  put_varint(kept, queue->first);
  put_varint(kept, 0);  // blocks that are erased
  return kept;
}

std::optional<std::string> lasting_block(std::string_view key, std::string_view row,
                                         const Retained& retained) {
  keys::KeyReader reader(key);
  const TopicUid topic(reader.u32());
  const QueueId queue(reader.u32());
  const std::uint64_t high = reader.u32();
  const std::uint64_t begin = (high << 32 | reader.u32()) * kBlockOffsets;
  const auto found = retained.first.find({topic, queue});
  const auto block = decode_block(row);
  if (found == retained.first.end() || !block) return std::string(row);
  const std::uint64_t first = std::max(found->second, begin + block->start);
  if (first >= begin + block->start + block->messages.size()) return std::nullopt;
  const std::uint64_t gone = first - begin - block->start;
  return encode_block(static_cast<std::uint32_t>(first - begin),
                      std::span(block->messages).subspan(gone));
}

}  // namespace

void note_retained(std::string_view key, std::string_view row, Retained& retained) {
  if (kind_of(key) == Kind::kConfig) {
    if (const auto parts = split_config(row)) retained.horizon = parts->horizon;
  } else if (kind_of(key) == Kind::kQueue) {
    keys::KeyReader reader(key);
    const TopicUid topic(reader.u32());
    const QueueId queue(reader.u32());
    if (const auto decoded = decode_queue(row)) retained.first[{topic, queue}] = decoded->first;
  }
}

std::optional<std::string> lasting(std::string_view key, std::string_view row,
                                   const Retained& retained) {
  switch (kind_of(key)) {
    case Kind::kConfig:
      return lasting_config(row);
    case Kind::kQueue:
      return lasting_queue(row);
    case Kind::kBlock:
      return lasting_block(key, row, retained);
    case Kind::kDecided: {
      const auto end = end_of_decided(key, row);
      if (end && *end < retained.horizon) return std::nullopt;
      return std::string(row);
    }
    case Kind::kForgotten:
      return std::nullopt;
    case Kind::kTopic:
    case Kind::kGroup:
    case Kind::kSubscription:
    case Kind::kProgress:
    case Kind::kProducerGroup:
    case Kind::kProducer:
    case Kind::kOpen:
      return std::string(row);
  }
  return std::string(row);
}

}  // namespace tally::broker
