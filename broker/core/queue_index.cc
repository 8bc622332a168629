#include "broker/core/queue_index.h"

#include "broker/core/backoff.h"
#include "broker/core/varint.h"
#include "store/record.h"

namespace tally::broker {

std::uint32_t MessageRef::record_bytes() const {
  return static_cast<std::uint32_t>(store::kRecordHeaderBytes) + extension_bytes + block_bytes;
}

std::string encode_block(std::span<const MessageRef> messages) {
  std::string value;
  value.reserve(messages.size() * 12 + 2);
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

std::optional<std::vector<MessageRef>> decode_block(std::string_view value) {
  ByteReader in(value);
  const std::uint64_t count = get_varint(in);
  if (count > kBlockOffsets) return std::nullopt;
  std::vector<MessageRef> messages(count);
  std::uint64_t before = 0;
  for (MessageRef& message : messages) {
    before += static_cast<std::uint64_t>(get_signed_varint(in));
    message.lsn = Lsn(before);
    message.block_bytes = get_varint32(in);
    message.extension_bytes = static_cast<std::uint16_t>(get_varint(in));
    message.tag_hash = in.get<std::uint32_t>();
  }
  if (!in.done()) return std::nullopt;
  return messages;
}

std::size_t BlockKeyHash::operator()(const BlockKey& key) const noexcept {
  const std::uint64_t queue = static_cast<std::uint64_t>(key.topic.value) << 32 | key.queue.value;
  return mix(mix(queue) ^ key.number);
}

void BlockCache::insert_unsaved(const BlockKey& key, std::vector<MessageRef>&& messages) {
  unsaved_.push_back(Block{.key = key, .messages = std::move(messages), .clean = false});
  blocks_[key] = std::prev(unsaved_.end());
}

void BlockCache::insert_loaded(const BlockKey& key, std::vector<MessageRef>&& messages) {
  if (blocks_.contains(key)) return;
  clean_.push_back(Block{.key = key, .messages = std::move(messages), .clean = true});
  blocks_[key] = std::prev(clean_.end());
  evict();
}

const std::vector<MessageRef>* BlockCache::find(const BlockKey& key) {
  auto found = blocks_.find(key);
  if (found == blocks_.end()) return nullptr;
  if (found->second->clean) clean_.splice(clean_.end(), clean_, found->second);
  return &found->second->messages;
}

void BlockCache::checkpoint_taken() { being_saved_.splice(being_saved_.end(), unsaved_); }

void BlockCache::checkpoint_done() {
  for (Block& block : being_saved_) block.clean = true;
  clean_.splice(clean_.end(), being_saved_);
  evict();
}

void BlockCache::evict() {
  while (clean_.size() > kCleanBlocksMax) {
    blocks_.erase(clean_.front().key);
    clean_.pop_front();
  }
}

}  // namespace tally::broker
