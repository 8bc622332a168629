#pragma once
// Bytes read from a stream and not served yet, in one piece. Grows for one large frame and shrinks after it. One thread.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace tally::net {

class ReadBuffer {
 public:
  static constexpr std::size_t kUsualBytes = 256u << 10;
  static constexpr std::size_t kKeptBytes = 1u
                                            << 20;  // what is larger is given back after the frame

  std::string_view bytes() const { return {data_.get() + begin_, end_ - begin_}; }
  /// Where to read to; never empty.
  char* tail() { return data_.get() + end_; }
  std::size_t room() const { return capacity_ - end_; }
  void filled(std::size_t bytes) { end_ += bytes; }
  void clear() {
    begin_ = end_ = 0;
    resize(kUsualBytes);
  }

  /// The front was served; what is left wants to become `needed` bytes, which the caller has checked against its limit.
  void consumed(std::size_t bytes, std::size_t needed) {
    begin_ += bytes;
    if (needed > capacity_ || (capacity_ > kKeptBytes && needed <= kUsualBytes)) {
      resize(std::max(kUsualBytes, needed));
    }
    if (begin_ == 0) return;
    // What is left is a piece of one frame, and it moves once: afterwards it stands at the front.
    std::memmove(data_.get(), data_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }

 private:
  void resize(std::size_t capacity) {
    if (capacity == capacity_) return;
    auto data = std::make_unique_for_overwrite<char[]>(capacity);
    if (end_ > begin_) std::memcpy(data.get(), data_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    capacity_ = capacity;
    data_ = std::move(data);
  }

  std::size_t capacity_ = kUsualBytes;
  std::unique_ptr<char[]> data_ = std::make_unique_for_overwrite<char[]>(kUsualBytes);
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace tally::net
