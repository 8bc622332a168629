#pragma once
// Encoded requests that wait to be sent, in the order of asking, in one piece of memory.
//
// The usual case costs no copy: when all that waits may go, the whole buffer changes places with the writer's.
// Frames whose request has ended meanwhile stay in the buffer until they are passed or compact() removes them.
// One thread. Bounds are the owner's: it asks live_bytes().

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "protocol/base/requests.h"

namespace tally::net {

class WaitingFrames {
 public:
  /// Append one frame here, then call push() or undo().
  std::string& tail() { return bytes_; }
  /// Takes what was appended to the tail as the frame of `id`. Returns its size.
  std::size_t push(RequestId id);
  /// Takes back what was appended to the tail; returns its size.
  std::size_t undo();
  /// A frame of this size lost its request.
  void drop(std::size_t frame_bytes) { live_bytes_ -= frame_bytes; }
  std::size_t live_bytes() const { return live_bytes_; }
  std::size_t appended() const { return bytes_.size() - pushed_; }

  /// Moves frames to the end of `out` as long as `may_go()`; of each, `go(id, size)` says whether it is sent (else its
  /// request has ended, and drop() was called for it).
  template <typename MayGo, typename Go>
  void take(std::string& out, MayGo&& may_go, Go&& go);

  /// Gives memory back when most of it belongs to ended requests.
  template <typename IsLive>
  void compact(IsLive&& is_live);

 private:
  struct Entry {
    RequestId id{};
    std::size_t size = 0;
  };
  void clear();
  void cut_front(std::size_t entries, std::size_t bytes);

  std::string bytes_{};
  std::vector<Entry> entries_{};
  std::size_t first_entry_ = 0;
  std::size_t first_byte_ = 0;
  std::size_t pushed_ = 0;  // end of the last pushed frame
  std::size_t live_bytes_ = 0;
};

/// Buffers larger than this are given back when they are empty.
inline constexpr std::size_t kBufferBytesKept = 4u << 20;

inline void clear_buffer(std::string& buffer) {
  if (buffer.capacity() > kBufferBytesKept) {
    buffer = std::string();
  } else {
    buffer.clear();
  }
}

inline std::size_t WaitingFrames::push(RequestId id) {
  const std::size_t size = appended();
  entries_.push_back({id, size});
  pushed_ = bytes_.size();
  live_bytes_ += size;
  return size;
}

inline std::size_t WaitingFrames::undo() {
  const std::size_t size = appended();
  bytes_.resize(pushed_);
  return size;
}

inline void WaitingFrames::clear() {
  clear_buffer(bytes_);
  entries_.clear();
  first_entry_ = first_byte_ = pushed_ = 0;
}

inline void WaitingFrames::cut_front(std::size_t entries, std::size_t bytes) {
  first_entry_ += entries;
  first_byte_ += bytes;
  if (first_entry_ == entries_.size()) return clear();
  // Moving the rest costs less than what was passed since the last time.
  if (first_byte_ <= bytes_.size() / 2) return;
  bytes_.erase(0, first_byte_);
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(first_entry_));
  pushed_ -= first_byte_;
  first_entry_ = first_byte_ = 0;
}

template <typename MayGo, typename Go>
void WaitingFrames::take(std::string& out, MayGo&& may_go, Go&& go) {
  std::size_t run = first_byte_;  // frames of [run, end) go out in one piece
  std::size_t end = first_byte_;
  std::size_t passed = 0;
  for (; first_entry_ + passed < entries_.size() && may_go(); ++passed) {
    const Entry entry = entries_[first_entry_ + passed];
    if (go(entry.id, entry.size)) {
      live_bytes_ -= entry.size;
    } else {
      out.append(bytes_, run, end - run);
      run = end + entry.size;
    }
    end += entry.size;
  }
  if (out.empty() && run == 0 && end == bytes_.size()) {
    out.swap(bytes_);
  } else {
    out.append(bytes_, run, end - run);
  }
  cut_front(passed, end - first_byte_);
}

template <typename IsLive>
void WaitingFrames::compact(IsLive&& is_live) {
  constexpr std::size_t kWorthIt = 64u << 10;
  const std::size_t dead_bytes = bytes_.size() - first_byte_ - live_bytes_;
  if (dead_bytes < kWorthIt || dead_bytes < live_bytes_) return;
  std::size_t from = first_byte_;
  std::size_t to = 0;
  std::size_t kept = 0;
  for (std::size_t at = first_entry_; at < entries_.size(); ++at) {
    const Entry entry = entries_[at];
    if (is_live(entry.id)) {
      std::memmove(bytes_.data() + to, bytes_.data() + from, entry.size);
      entries_[kept++] = entry;
      to += entry.size;
    }
    from += entry.size;
  }
  entries_.resize(kept);
  bytes_.resize(to);
  first_entry_ = first_byte_ = 0;
  pushed_ = to;
  if (kept == 0) clear();
}

}  // namespace tally::net
