#pragma once
// Where the messages of queues stand in the log: blocks of 256 consecutive offsets.
//
// The block that still grows belongs to its queue (Topics). Full ones live here: those that no checkpoint holds yet, and
// up to kCleanBlocksMax others, least recently used ones going first. What is not here is loaded from the index.
// Block value: varint number of its first message within the 256, varint count, then per message: signed varint LSN minus
// the LSN before (first: the LSN), varint block bytes, varint extension bytes, u32 tag hash. A block begins in its middle
// when what stands before was gone already as it began.

#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tally/ids.hpp>
#include <unordered_map>
#include <vector>

namespace tally::broker {

inline constexpr std::uint32_t kBlockOffsets = 256;
inline constexpr std::size_t kCleanBlocksMax = 1024;

/// A message by reference: all that reading it from the log needs.
struct MessageRef {
  Lsn lsn{};
  std::uint32_t block_bytes = 0;
  std::uint32_t tag_hash = 0;
  std::uint16_t extension_bytes = 0;
  std::uint32_t record_bytes() const;
  bool operator==(const MessageRef&) const = default;
};

/// Consecutive messages of one block.
struct QueueBlock {
  std::uint32_t start = 0;  ///< number of the first one within the block
  std::vector<MessageRef> messages{};
  /// Null when it is not in here.
  const MessageRef* find(std::uint64_t offset) const {
    const std::uint64_t at = offset % kBlockOffsets - start;  // wraps around below the start
    return at < messages.size() ? &messages[at] : nullptr;
  }
  bool operator==(const QueueBlock&) const = default;
};
std::string encode_block(std::uint32_t start, std::span<const MessageRef> messages);
std::optional<QueueBlock> decode_block(std::string_view value);

struct BlockKey {
  TopicUid topic{};
  QueueId queue{};
  std::uint64_t number = 0;
  bool operator==(const BlockKey&) const = default;
};
struct BlockKeyHash {
  std::size_t operator()(const BlockKey& key) const noexcept;
};

class BlockCache {
 public:
  /// A full block that the next checkpoint will hold.
  void insert_unsaved(const BlockKey& key, QueueBlock&& block);
  void insert_loaded(const BlockKey& key, QueueBlock&& block);
  /// Null when it must be loaded. Valid until the next call.
  const QueueBlock* find(const BlockKey& key);
  void erase(const BlockKey& key);
  /// Unsaved blocks are in the checkpoint that was taken …
  void checkpoint_taken();
  /// … and that is written now.
  void checkpoint_done();
  std::size_t clean_blocks() const { return clean_.size(); }

 private:
  struct Cached {
    BlockKey key;
    QueueBlock block;
    std::list<Cached>* in;
  };
  using Blocks = std::list<Cached>;
  void insert(Blocks& to, const BlockKey& key, QueueBlock&& block);
  static void move_all(Blocks& from, Blocks& to);
  void evict();

  Blocks clean_;  ///< least recently used first
  Blocks unsaved_, being_saved_;
  std::unordered_map<BlockKey, Blocks::iterator, BlockKeyHash> blocks_;
};

}  // namespace tally::broker
