#pragma once
// Memory for received bytes: shared chunks, and one connection's view of the frames in them.
//
// Operation: all connections of an I/O thread read into one open chunk, one behind the other, so that a connection at rest
// holds none and message blocks go from the socket to the log without a copy. What is left of a frame after a read is kept
// aside and put in front of the next one; a frame too long for that gets a chunk of its own, which grows with it.
// Concurrency: ReceiveBuffer and ChunkSource belong to one I/O thread. ChunkPool is thread-safe: chunks come back from
// whichever thread drops the last reference.
// Limits: ChunkPool counts all bytes it gave away; over limits::kReceiveMemoryMax it gives nothing, and reading waits.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "store/entry.h"

namespace tally::broker {

struct Chunk {
  std::unique_ptr<char[]> bytes{};
  std::size_t size = 0;
  std::size_t used = 0;
  std::size_t free() const { return size - used; }
};

class ChunkPool {
 public:
  explicit ChunkPool(std::size_t bytes_max);
  /// Nothing when the pool would have given more than `bytes_max` then, at most its limit.
  std::shared_ptr<Chunk> take(std::size_t bytes, std::size_t bytes_max);
  std::size_t bytes_max() const;
  std::size_t bytes_in_use() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// The open chunk of one I/O thread.
class ChunkSource {
 public:
  explicit ChunkSource(ChunkPool& pool) : pool_(pool) {}
  /// A chunk with at least `bytes` free; nothing at the pool's limit.
  std::shared_ptr<Chunk> shared(std::size_t bytes);
  /// Long frames get only half of the pool, so that short ones always find room.
  std::shared_ptr<Chunk> own(std::size_t bytes) { return pool_.take(bytes, pool_.bytes_max() / 2); }

 private:
  ChunkPool& pool_;
  std::shared_ptr<Chunk> open_{};
};

/// Use, for each read: space(), read into it, received(), look at the frames, keep_rest().
class ReceiveBuffer {
 public:
  explicit ReceiveBuffer(ChunkSource& source) : source_(source) {}

  /// Where to read next. Empty: no memory now, try later.
  std::span<char> space();
  /// All bytes not yet consumed, with the `bytes` that were just read. Valid as long as bytes_kept_by() is held.
  std::string_view received(std::size_t bytes);
  store::Keepalive bytes_kept_by() const { return chunk_; }
  /// The first `consumed` bytes are done with; `referenced`: somebody points into them. The frame behind them wants `needed`
  /// bytes in all. False: no memory for it now; nothing is lost, space() tries again.
  void keep_rest(std::size_t consumed, std::size_t needed, bool referenced);
  bool has_rest() const { return own_ ? filled_ > 0 : !rest_.empty(); }

 private:
  bool grow_own();

  ChunkSource& source_;
  std::shared_ptr<Chunk> chunk_{};  ///< of the current read
  std::size_t start_ = 0;           ///< of the unconsumed bytes within it
  std::size_t filled_ = 0;          ///< unconsumed bytes
  bool own_ = false;        ///< chunk_ belongs to one long frame and stays from read to read
  std::size_t needed_ = 0;  ///< of the frame at the front, in all
  std::string rest_{};      ///< between reads: what is left of a short frame
};

}  // namespace tally::broker
