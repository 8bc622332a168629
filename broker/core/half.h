#pragma once
// The half messages of a transaction, by reference.

#include <cstdint>
#include <memory>
#include <tally/ids.hpp>

#include "broker/core/queue_index.h"

namespace tally::broker {

/// One stored half message.
struct Half {
  MessageRef message{};
  TopicUid topic{};
  std::uint32_t route_hash = 0;
  std::uint32_t number = 0;       ///< within the transaction; 0 when only the fingerprint is known
  std::uint64_t fingerprint = 0;  ///< of topic, number and content
};
std::uint64_t fingerprint(TopicUid topic, std::uint32_t number, std::uint64_t content_digest);

/// Up to kTransactionMessagesMax of them. Most transactions have one, which takes no memory of its own.
class Halves {
 public:
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  Half* begin() { return more_ ? more_.get() : &only_; }
  Half* end() { return begin() + size_; }
  const Half* begin() const { return more_ ? more_.get() : &only_; }
  const Half* end() const { return begin() + size_; }
  const Half& front() const { return *begin(); }
  void clear() {
    more_.reset();
    size_ = capacity_ = 0;
  }
  void push_back(const Half& half);

 private:
  Half only_{};
  std::unique_ptr<Half[]> more_{};  ///< all of them, when there are more than one
  std::uint8_t size_ = 0;
  std::uint8_t capacity_ = 0;  ///< of more_
};

}  // namespace tally::broker
