#pragma once
// All open transactions, and decided ones that the index does not hold yet or that somebody asks about.
//
// Owned by the core; one thread. A transaction stays in memory while it is open, pinned (requests in flight or a look-up
// under way) or part of an unwritten checkpoint. The table is 256 small ones, so that no growth stops the core for long.
// Objects are reused.

#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/core/context.h"
#include "broker/core/half.h"
#include "broker/core/origins.h"
#include "broker/core/transaction_rules.h"

namespace tally::broker {

/// What a transaction went through: of most of them there is nothing to tell.
struct History {
  std::vector<CheckRecord> checks{};  ///< the newest kCheckRecordsMax, oldest first
  std::string reason{};               ///< of the decision; of a parked one: why it is parked
  std::string decided_by{};           ///< client; empty: the one that prepared it
  std::int64_t resumed_at_ms = 0;     ///< the newest time; 0: never
  bool operator==(const History&) const = default;
};

/// A transaction's id, at most 255 bytes. One of up to 39, as SDKs make them, takes no memory of its own.
class IdText {
 public:
  IdText() = default;
  IdText(const IdText&) = delete;
  IdText& operator=(const IdText&) = delete;
  ~IdText() { clear(); }
  /// Not a view of this one.
  void set(std::string_view id);
  void clear();
  std::string_view view() const { return {is_far() ? far() : near_, bytes_}; }

 private:
  static constexpr std::size_t kNearBytes = 39;
  bool is_far() const { return bytes_ > kNearBytes; }
  char* far() const;

  alignas(char*) char near_[kNearBytes];  ///< the id, or a pointer to it
  std::uint8_t bytes_ = 0;
};

/// Delays of a transaction fit: kTransactionLifetimeMsMax is 30 days.
inline std::uint32_t as_delay(std::int64_t ms) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(ms, 0, UINT32_MAX));
}
static_assert(limits::kTransactionLifetimeMsMax <= UINT32_MAX);

struct Asked {
  SessionId session{};
  std::uint64_t challenge = 0;
};

/// There may be millions: the order of members keeps it small.
struct Transaction : TimerHook {
  Transaction() : TimerHook(TimerKind::kCheck) {}
  std::string_view id() const { return id_text.view(); }
  std::string_view group() const { return origin.get().group; }
  std::string_view client() const { return origin.get().client; }
  StoreId store() const { return origin.get().store; }
  bool has(std::uint64_t half_fingerprint) const;
  const Half* find(std::uint32_t number) const;
  std::uint64_t block_bytes() const;
  Handle handle(LogId log) const { return {.log = log, .lsn = lsn, .time_ms = time_ms}; }
  Winner winner() const;
  /// To write into.
  History& story() {
    if (history == nullptr) history = std::make_unique<History>();
    return *history;
  }
  std::string_view reason() const { return history ? history->reason : std::string_view{}; }
  std::string_view decided_by_client() const;
  void clear();

  // Durable.
  TxState state = TxState::kNone;
  Decider decided_by{};

  // Where it stands in memory and index.
  bool ending : 1 = false;   ///< its END is in flight
  bool delayed : 1 = false;  ///< requests wait for that
  bool loading : 1 = false;  ///< its key is being looked up
  bool dirty : 1 = false;    ///< changed since the last checkpoint was taken
  bool writing : 1 = false;  ///< in the checkpoint that is being written
  bool fresh : 1 = false;    ///< begun without a look-up: an old decided row may stand in the index
  bool open_row : 1 = false;   ///< the index holds it as open
  bool lingering : 1 = false;  ///< kept for a while, though decided
  // Check-back; volatile.
  bool outstanding : 1 = false;  ///< asked, and neither answered nor given up
  bool received : 1 = false;     ///< a live checker has the question
  bool counting : 1 = false;     ///< CheckDelivered is in flight
  bool parking : 1 = false;      ///< Park is in flight
  bool waiting : 1 = false;      ///< in its pool, for somebody to ask

  IdText id_text{};
  std::uint32_t checks = 0;     ///< delivered ones; durable
  std::uint32_t pins = 0;       ///< requests in flight and look-ups
  std::uint32_t end_bytes = 0;  ///< of the log, reserved for its END
  std::uint32_t hash = 0;       ///< of its id
  Transaction* next_in_bucket = nullptr;

  // Durable.
  Origins::Share origin{};
  Lsn lsn{};                 ///< of the first half
  std::int64_t time_ms = 0;  ///< of the first half's entry
  std::uint32_t first_check_ms = 0;
  std::uint32_t lifetime_ms = 0;
  std::int64_t decided_at_ms = 0;
  Lsn decided_lsn{};  ///< of its END
  Halves halves{};
  std::unique_ptr<History> history{};  ///< null: empty

  // Check-back; volatile.
  SessionId owner{};               ///< prepared it
  std::unique_ptr<Asked> asked{};  ///< the check asked last
  std::int64_t not_before_ms = 0;
};
static_assert(sizeof(Transaction) <= 240);

inline constexpr std::size_t kCheckRecordsMax = 16;
// The first PREPARE of a transaction, which says that nobody has seen the id before, may come on its old connection when its
// retry was decided on a new one. So long, and so many, are known in memory; connections that say nothing do not live longer.
inline constexpr std::int64_t kLingerMs = limits::kPingMs * limits::kPingsMissedMax;
inline constexpr std::size_t kLingeringMax = 65'536;

/// The most that an END without a reason takes in the log: its creator's, or one that does not say whose it is.
std::uint32_t end_bytes(std::string_view id, std::string_view group, std::string_view client);

class Transactions {
 public:
  explicit Transactions(Context& context) : context_(context) {}

  Result<void> restore(const store::IndexView& index);
  /// Replay only: makes a decided transaction resident when `index` has it.
  Result<void> look_up(const store::IndexView& index, std::string_view id);

  /// A decision of before the horizon is not known any more, be it in memory or in a row: then the state is kNone.
  Transaction* find(std::string_view id);
  /// Finds it or makes one in state kNone.
  Transaction& obtain(std::string_view id);
  /// Makes one that find() has just not found.
  Transaction& make(std::string_view id);
  /// Makes resident what a look-up found.
  bool insert_decided(std::string_view id, std::string_view row) {
    return read_decided(id, row, obtain(id));
  }
  bool read_decided(std::string_view id, std::string_view row, Transaction& to);
  Origins::Share origin(const Origin& origin) { return origins_.share(origin); }

  /// Keeps count of pending and parked ones.
  void set_state(Transaction& transaction, TxState state);
  /// When the oldest pending one was prepared; 0 when there is none.
  std::int64_t oldest_pending_ms() const {
    return pending_since_.empty() ? 0 : pending_since_.begin()->first;
  }
  /// Its state changed: the next checkpoint holds it.
  void changed(Transaction& transaction);
  /// Has just become decided: `changed`, and its final row is written.
  void decided(Transaction& transaction);
  /// Room in the log for the END of one that is open, or about to be.
  void reserve_end(Transaction& transaction, std::string_view group, std::string_view client);
  void release_end(Transaction& transaction);
  void pin(Transaction& transaction) { ++transaction.pins; }
  void unpin(Transaction& transaction) {
    --transaction.pins;
    release_if_idle(transaction);
  }
  /// Forgets it when nothing needs it in memory.
  void release_if_idle(Transaction& transaction);

  template <typename Visit>
  void for_each(Visit visit) {
    for (Table& table : tables_) {
      for (Transaction* t : table.buckets) {
        for (; t != nullptr; t = t->next_in_bucket) visit(*t);
      }
    }
  }
  /// Those that the index does not hold as they are.
  template <typename Visit>
  void for_each_unsaved(Visit visit) {
    for (Transaction* t : dirty_) {
      forget_old_decision(*t);
      visit(*t);
    }
    for (Transaction* t : writing_) {
      forget_old_decision(*t);
      if (!t->dirty) visit(*t);
    }
  }

  void collect();
  void checkpoint_done();
  /// Forgets up to `most` of those that the last checkpoint made superfluous: all at once would
  /// stop the core for too long.
  void release_some(std::size_t most);
  void tick(std::int64_t boot_ms);

 private:
  struct Table {
    std::vector<Transaction*> buckets{};
    std::size_t size = 0;
  };
  void forget_old_decision(Transaction& transaction) const {
    if (is_decided(transaction.state) && transaction.decided_lsn < context_.horizon) {
      transaction.state = TxState::kNone;
    }
  }
  void count(TxState state, std::int64_t time_ms, std::int64_t by);
  void stop_lingering();
  void insert(Transaction& transaction);
  void remove(Transaction& transaction);

  Context& context_;
  Origins origins_{};  ///< before the transactions: they have shares of it
  std::array<Table, 256> tables_{};
  static constexpr std::size_t kChunk = 64;
  std::vector<std::unique_ptr<Transaction[]>> storage_{};  ///< kChunk each
  std::vector<Transaction*> spare_{};
  std::vector<Transaction*> dirty_{}, writing_{};
  std::map<std::int64_t, std::int64_t> pending_since_{};  ///< how many of each millisecond
  std::vector<Transaction*> releasing_{};  ///< written; `writing` until it is their turn
  struct Lingering {
    std::int64_t until_ms = 0;  ///< boot time
    Transaction* transaction = nullptr;
  };
  std::deque<Lingering> lingering_{};
};

// Rows of the index (tables in README.md). Decoding fills a cleared transaction; false when the bytes do not match.
std::string encode_open(const Transaction& transaction);
bool decode_open(std::string_view id, std::string_view row, Origins& origins, Transaction& to);
std::string encode_decided(const Transaction& transaction);
bool decode_decided(std::string_view id, std::string_view row, Origins& origins, Transaction& to);

}  // namespace tally::broker
