#pragma once
// Entries on their way to the log: the open one, sealed ones, and who waits for which record.
//
// Operation: propose() adds a record to the open entry; take() hands out entries in log order; the oldest taken one comes
// back durable through front() and pop_front(). Owned by the core; one thread. Memory: bytes_in_flight() is what admission
// limits; entry objects and lists of waiters are reused.

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/requests.h"
#include "store/entry.h"
#include "store/record_extensions.h"

namespace tally::broker {

/// Who gets the answer to a record. Session 0: nobody.
struct Waiter {
  SessionId session{};
  RequestId request{};
  RequestKind kind{};
};

class Proposals {
 public:
  explicit Proposals(std::uint64_t entry_bytes_max);

  /// The next entry has this index and position.
  void start(EntryIndex next, Lsn end);

  /// Adds a record of Extension's type to the open entry.
  template <typename Extension>
  void propose(const Waiter& waiter, std::int64_t now_ms, TopicUid topic, std::uint8_t flags,
               const Extension& extension, std::string_view block = {},
               std::uint64_t block_checksum = 0) {
    propose_as(Extension::kType, waiter, now_ms, topic, flags, extension, block, block_checksum);
  }
  template <typename Extension>
  void propose_as(store::RecordType type, const Waiter& waiter, std::int64_t now_ms, TopicUid topic,
                  std::uint8_t flags, const Extension& extension, std::string_view block = {},
                  std::uint64_t block_checksum = 0) {
    scratch_.clear();
    encode(extension, scratch_);
    add(type, waiter, now_ms, topic, flags, block, block_checksum);
  }
  void propose_mark(std::int64_t now_ms);

  /// Keeps the memory of proposed blocks until they are durable.
  void keep(const store::Keepalive& bytes);

  bool has_entry() const { return !sealed_.empty() || !open_->empty(); }
  std::unique_ptr<store::Entry> take(std::int64_t now_ms);
  /// Waiters of the oldest taken entry, one per record.
  const std::vector<Waiter>& front() const { return in_flight_.front().waiters; }
  void pop_front(std::unique_ptr<store::Entry> entry);

  /// Bytes of records that are proposed and not yet committed.
  std::uint64_t bytes_in_flight() const { return bytes_in_flight_; }
  bool idle() const { return in_flight_.empty(); }

 private:
  struct InFlight {
    std::vector<Waiter> waiters{};
    std::uint64_t bytes = 0;
  };
  void add(store::RecordType type, const Waiter& waiter, std::int64_t now_ms, TopicUid topic,
           std::uint8_t flags, std::string_view block, std::uint64_t block_checksum);
  void begin();
  void seal(std::int64_t now_ms);

  const std::uint64_t entry_bytes_max_;
  std::unique_ptr<store::Entry> open_;
  std::deque<std::unique_ptr<store::Entry>> sealed_{};
  std::deque<InFlight>
      in_flight_{};  ///< of taken, sealed and, as the last one, the non-empty open entry
  std::vector<std::unique_ptr<store::Entry>> spare_entries_{};
  std::vector<std::vector<Waiter>> spare_waiters_{};
  EntryIndex next_{};
  Lsn end_{};
  std::uint64_t bytes_in_flight_ = 0;
  std::string scratch_{};
};

}  // namespace tally::broker
