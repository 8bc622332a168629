#include "broker/server/receive_buffer.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <vector>

#include "protocol/base/check.h"

namespace tally::broker {
namespace {

constexpr std::size_t kChunkBytes = 256u << 10;
constexpr std::size_t kReadBytesMin = 64u << 10;   // a read offers at least this much
constexpr std::size_t kCopiedRestMax = 64u << 10;  // longer frames get a chunk of their own
constexpr std::size_t kSpareChunks = 8;
constexpr std::size_t kRestKeptBytes = 4u << 10;  // capacity that a connection keeps between frames

}  // namespace

struct ChunkPool::State {
  explicit State(std::size_t max) : bytes_max(max) {}
  const std::size_t bytes_max;
  std::atomic<std::size_t> bytes_in_use = 0;
  std::mutex mutex;
  std::vector<std::unique_ptr<Chunk>> spare;

  std::unique_ptr<Chunk> take_spare() {
    std::lock_guard lock(mutex);
    if (spare.empty()) return nullptr;
    auto chunk = std::move(spare.back());
    spare.pop_back();
    return chunk;
  }
  void give_back(std::unique_ptr<Chunk> chunk) {
    bytes_in_use.fetch_sub(chunk->size, std::memory_order_relaxed);
    if (chunk->size != kChunkBytes) return;
    chunk->used = 0;
    std::lock_guard lock(mutex);
    if (spare.size() < kSpareChunks) spare.push_back(std::move(chunk));
  }
};

ChunkPool::ChunkPool(std::size_t bytes_max) : state_(std::make_shared<State>(bytes_max)) {}

std::shared_ptr<Chunk> ChunkPool::take(std::size_t bytes, std::size_t bytes_max) {
  const std::size_t size = std::max(bytes, kChunkBytes);
  if (state_->bytes_in_use.fetch_add(size, std::memory_order_relaxed) + size > bytes_max) {
    state_->bytes_in_use.fetch_sub(size, std::memory_order_relaxed);
    return nullptr;
  }
  std::unique_ptr<Chunk> chunk = size == kChunkBytes ? state_->take_spare() : nullptr;
  if (!chunk) {
    chunk = std::make_unique<Chunk>();
    chunk->bytes = std::make_unique_for_overwrite<char[]>(size);
    chunk->size = size;
  }
  return {chunk.release(),
          [state = state_](Chunk* back) { state->give_back(std::unique_ptr<Chunk>(back)); }};
}

std::size_t ChunkPool::bytes_max() const { return state_->bytes_max; }

std::size_t ChunkPool::bytes_in_use() const {
  return state_->bytes_in_use.load(std::memory_order_relaxed);
}

std::shared_ptr<Chunk> ChunkSource::shared(std::size_t bytes) {
  if (!open_ || open_->free() < bytes) {
    open_.reset();  // back to the pool when nobody else refers to it
    open_ = pool_.take(bytes, pool_.bytes_max());
  }
  return open_;
}

// Grows with what really came, so that memory cannot be had by announcing long frames.
bool ReceiveBuffer::grow_own() {
  const std::string_view there = own_ ? std::string_view(chunk_->bytes.get(), filled_) : rest_;
  auto bigger = source_.own(std::min(needed_, 2 * there.size()));
  if (!bigger) return false;
  std::memcpy(bigger->bytes.get(), there.data(), there.size());
  filled_ = there.size();
  start_ = 0;
  own_ = true;
  chunk_ = std::move(bigger);
  std::string().swap(rest_);
  return true;
}

std::span<char> ReceiveBuffer::space() {
  if (own_ || needed_ > kCopiedRestMax) {
    if ((!own_ || filled_ == chunk_->size) && !grow_own()) return {};
    return {chunk_->bytes.get() + filled_, std::min(chunk_->size, needed_) - filled_};
  }
  chunk_ = source_.shared(rest_.size() + kReadBytesMin);
  if (!chunk_) return {};
  start_ = chunk_->used;
  filled_ = rest_.size();
  std::memcpy(chunk_->bytes.get() + start_, rest_.data(), filled_);
  return {chunk_->bytes.get() + start_ + filled_, chunk_->free() - filled_};
}

std::string_view ReceiveBuffer::received(std::size_t bytes) {
  filled_ += bytes;
  return {chunk_->bytes.get() + start_, filled_};
}

void ReceiveBuffer::keep_rest(std::size_t consumed, std::size_t needed, bool referenced) {
  TALLY_CHECK(consumed <= filled_);
  needed_ = needed;
  if (own_ && consumed == 0) {
    TALLY_CHECK(filled_ < needed_);
    return;
  }
  const char* const rest = chunk_->bytes.get() + start_ + consumed;
  rest_.assign(rest, filled_ - consumed);
  if (rest_.empty() && rest_.capacity() > kRestKeptBytes) std::string().swap(rest_);
  if (!own_ && referenced) chunk_->used = start_ + consumed;
  own_ = false;
  filled_ = 0;
  chunk_.reset();
}

}  // namespace tally::broker
