#include "broker/core/queue_index.h"

#include "broker/core/backoff.h"
#include "broker/core/varint.h"
#include "store/record.h"

namespace tally::broker {

std::uint32_t MessageRef::record_bytes() const {
  return static_cast<std::uint32_t>(store::kRecordHeaderBytes) + extension_bytes + block_bytes;
}

std::string encode_block(std::uint32_t start, std::span<const MessageRef> messages) {
  std::string value;
  value.reserve(messages.size() * 12 + 4);
  put_varint(value, start);
  put_varint(value, messages.size());
  std::uint64_t before = 0;
  for (const MessageRef& message : messages) {
    put_signed_varint(value, static_cast<std::int64_t>(message.lsn.value - before));
    put_varint(value, message.block_bytes);
    put_varint(value, message.extension_bytes);
    ByteWriter(value).put(message.tag_hash);
    before = message.lsn.value;
  }
  return value;
}

std::optional<QueueBlock> decode_block(std::string_view value) {
  ByteReader in(value);
  const std::uint64_t start = get_varint(in);
  const std::uint64_t count = get_varint(in);
  if (start >= kBlockOffsets || count > kBlockOffsets - start) return std::nullopt;
  QueueBlock block{.start = static_cast<std::uint32_t>(start),
                   .messages = std::vector<MessageRef>(count)};
  std::uint64_t before = 0;
  for (MessageRef& message : block.messages) {
    before += static_cast<std::uint64_t>(get_signed_varint(in));
    message.lsn = Lsn(before);
    message.block_bytes = get_varint32(in);
    message.extension_bytes = static_cast<std::uint16_t>(get_varint(in));
    message.tag_hash = in.get<std::uint32_t>();
  }
  if (!in.done()) return std::nullopt;
  return block;
}

std::size_t BlockKeyHash::operator()(const BlockKey& key) const noexcept {
  const std::uint64_t queue = static_cast<std::uint64_t>(key.topic.value) << 32 | key.queue.value;
  return mix(mix(queue) ^ key.number);
}

void BlockCache::insert(Blocks& to, const BlockKey& key, QueueBlock&& block) {
  to.push_back(Cached{.key = key, .block = std::move(block), .in = &to});
  blocks_[key] = std::prev(to.end());
}

void BlockCache::insert_unsaved(const BlockKey& key, QueueBlock&& block) {
  insert(unsaved_, key, std::move(block));
}

void BlockCache::insert_loaded(const BlockKey& key, QueueBlock&& block) {
  if (blocks_.contains(key)) return;
  insert(clean_, key, std::move(block));
  evict();
}

const QueueBlock* BlockCache::find(const BlockKey& key) {
  const auto found = blocks_.find(key);
  if (found == blocks_.end()) return nullptr;
  if (found->second->in == &clean_) clean_.splice(clean_.end(), clean_, found->second);
  return &found->second->block;
}

void BlockCache::erase(const BlockKey& key) {
  const auto found = blocks_.find(key);
  if (found == blocks_.end()) return;
  found->second->in->erase(found->second);
  blocks_.erase(found);
}

void BlockCache::move_all(Blocks& from, Blocks& to) {
  for (Cached& cached : from) cached.in = &to;
  to.splice(to.end(), from);
}

void BlockCache::checkpoint_taken() { move_all(unsaved_, being_saved_); }

void BlockCache::checkpoint_done() {
  move_all(being_saved_, clean_);
  evict();
}

void BlockCache::evict() {
  while (clean_.size() > kCleanBlocksMax) {
    blocks_.erase(clean_.front().key);
    clean_.pop_front();
  }
}

}  // namespace tally::broker
