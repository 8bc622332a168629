#pragma once
// How many connections may be open, in all and per address before Hello. Thread-safe.

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>

namespace tally::broker {

class ConnectionQuota {
 public:
  ConnectionQuota(std::uint32_t in_all_max, std::uint32_t before_hello_per_address_max)
      : in_all_max_(in_all_max), before_hello_max_(before_hello_per_address_max) {}

  enum class Verdict : std::uint8_t {
    kAccept,
    kRefuse,  ///< tell it why, then close
    kDrop,    ///< too many are being refused: close without a word; not counted
  };
  /// Counts the connection in, unless it is dropped.
  Verdict opened(const std::string& address) {
    std::lock_guard lock(mutex_);
    if (open_ >= in_all_max_ + kRefusedAtOnceMax) return Verdict::kDrop;
    std::uint32_t& waiting = before_hello_[address];
    if (waiting >= before_hello_max_ + kRefusedAtOnceMax) return Verdict::kDrop;
    const bool accept = open_ < in_all_max_ && waiting < before_hello_max_;
    ++open_, ++waiting;
    return accept ? Verdict::kAccept : Verdict::kRefuse;
  }
  void greeted(const std::string& address) {
    std::lock_guard lock(mutex_);
    leave(address);
  }
  void closed(const std::string& address, bool was_greeted) {
    std::lock_guard lock(mutex_);
    --open_;
    if (!was_greeted) leave(address);
  }

 private:
  static constexpr std::uint32_t kRefusedAtOnceMax = 64;
  void leave(const std::string& address) {
    if (const auto at = before_hello_.find(address); --at->second == 0) before_hello_.erase(at);
  }

  const std::uint32_t in_all_max_;
  const std::uint32_t before_hello_max_;
  std::mutex mutex_;
  std::uint32_t open_ = 0;
  std::unordered_map<std::string, std::uint32_t> before_hello_;
};

}  // namespace tally::broker
