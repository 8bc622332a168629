#pragma once
// A BrokerCore with its log and index in memory, driven step by step by a test: nothing happens between two calls.

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/core/base_rows.h"
#include "broker/core/broker_core.h"

namespace tally::broker {

class TestBroker {
 public:
  explicit TestBroker(CoreOptions options = {});
  /// Restored from rows of an index, with no log behind them.
  TestBroker(const CoreOptions& options, std::unique_ptr<store::IndexStore> index);

  enum class Start {
    kCheckpoint,
    kRebuild,  ///< without the index: from the oldest base, or from nothing when nothing was cut
  };
  /// Drops the core and what was not durable; starts again from what is left of the log.
  void restart(Start start);
  /// Puts a record that no request asks for behind the log, and starts again.
  template <typename Extension>
  void append_and_restart(store::RecordType type, const Extension& extension) {
    std::string bytes;
    encode(extension, bytes);
    append(type, bytes);
    restart(Start::kCheckpoint);
  }

  // --- requests; the answer is there after run() unless the log is held ---
  SessionId connect(std::string client);
  void disconnect(SessionId session);
  RequestId submit(SessionId session, Request body);
  RequestId send(SessionId session, std::string topic, std::uint32_t route = 0,
                 std::size_t bytes = 100);
  RequestId send_numbered(SessionId session, std::string topic, std::uint64_t producer,
                          std::uint64_t sequence, std::uint64_t digest);
  struct Half {
    std::string topic = "t";
    std::string id = "x";
    std::string group = "g";
    std::uint32_t message = 1;
    std::uint64_t digest = 1;
    bool fresh = false;
    std::int64_t first_check_ms = 0;
    StoreId store{};
    std::size_t bytes = 100;
  };
  RequestId prepare(SessionId session, const Half& half);
  std::optional<Result<Response>> answer(RequestId request);
  std::optional<Grant> granted(RequestId request);
  std::vector<AskCheck> take_checks();
  std::vector<Loss> take_losses();

  // --- together with run() ---
  template <typename R>
  Result<R> ask(SessionId session, Request body) {
    return wait_for<R>(submit(session, std::move(body)));
  }
  template <typename R>
  Result<R> wait_for(RequestId request) {
    run();
    auto result = answer(request);
    if (!result) return Error(ErrorCode::kTimeout, "no answer yet");
    if (!*result) return result->error();
    return std::get<R>(**result);
  }
  void make_topic(const std::string& name, std::uint32_t queues = 1, std::int64_t retention_ms = 0);
  Result<PrepareResponse> prepared(SessionId session, const Half& half);
  Result<EndResponse> end(SessionId session, const std::string& id, Decision decision,
                          std::uint32_t messages = 1, Handle handle = {},
                          const std::string& group = "g");
  Result<EndResponse> operator_end(SessionId session, const std::string& id, Decision decision);
  std::vector<DeliveryHeader> receive(SessionId session, const std::string& topic,
                                      const std::string& group, std::uint32_t max = 100,
                                      std::int64_t lease_ms = 0);
  Result<SettleResponse> settle(SessionId session, const std::string& topic,
                                const std::string& group, const DeliveryHeader& delivery,
                                SettleAction action, std::int64_t delay_ms = -1);
  Result<TransactionInfo> show(SessionId session, const std::string& id);
  std::vector<TransactionInfo> list(SessionId session, std::uint32_t state = 0,
                                    std::uint32_t page = 0);
  std::uint64_t published(const std::string& topic);

  // --- time, log, index ---
  void advance(std::int64_t ms);
  /// Lets time pass with all that belongs to it: checkpoints, bases, retention. With `topic` a message is sent each second.
  void pass(std::int64_t ms, const std::string& topic = {});
  /// Time passes unseen: the broker is stopped, and started by restart().
  void stand_still(std::int64_t ms) {
    now_.wall_ms += ms;
    now_.boot_ms += ms;
  }
  /// Steps the machine's wall clock; the boot clock goes on.
  void jump_wall(std::int64_t ms) { now_.wall_ms += ms; }
  /// Writes and commits all entries and serves all loads until nothing moves.
  void run();
  /// Takes entries from the core without making them durable.
  void take_entries();
  bool commit_one();
  void serve_loads();
  /// Writes one, and the base that is due with it.
  void checkpoint();
  void collect();

  /// All that a client can see, as text.
  std::string dump();

  BrokerCore& core() { return *core_; }
  store::IndexStore& index() { return *index_; }
  std::size_t log_entries() const { return log_.size(); }
  Lsn log_first() const { return log_.empty() ? Lsn{} : log_.front().header.lsn; }
  Lsn log_end() const { return log_.empty() ? Lsn{} : log_.back().header.end(); }
  std::size_t bases() const { return bases_.size(); }
  const std::optional<Cut>& last_cut() const { return cut_; }
  /// The newest base cannot be read any more.
  void damage_newest_base() { bases_.rbegin()->second.rows.clear(); }
  /// Deliveries whose message the log no longer had.
  std::uint64_t unreadable() const { return unreadable_; }
  /// What a started core is told of the disk.
  store::Space first_space = store::Space::kEnough;
  /// Bases are not written.
  bool bases_fail = false;
  /// Rows of decisions of before the horizon stay in the index.
  bool keep_rows = false;
  void forget_cut() { cut_.reset(); }
  /// What a core says that was restored from the newest base and the log behind it.
  Result<void> complete_from_newest_base();
  /// Rows of one kind in the index.
  std::size_t rows(keys::Kind kind) const;
  const std::map<std::string, std::string>& newest_base_rows() const {
    return bases_.rbegin()->second.rows;
  }
  /// Loads that are under way; the core gets no answer before release_loads().
  std::vector<Load> hold_loads() { return std::exchange(loads_, {}); }
  void release_loads(std::vector<Load> loads) { loads_ = std::move(loads); }
  std::uint64_t records(store::RecordType type) const;
  std::int64_t now_ms() const { return now_.wall_ms; }
  const LogId& log() const { return log_id_; }
  CoreOptions options;

 private:
  struct Stored {
    store::EntryHeader header{};
    std::vector<std::pair<store::RecordHeader, std::string>> records{};
  };
  struct Base {
    KnownBase known{};
    store::ReplayFrom position{};
    std::map<std::string, std::string> rows{};
  };
  void start();
  RequestId admit_with_block(Command command, std::size_t bytes);
  void append(store::RecordType type, std::string_view extension);
  void store_entry(const store::EntryView& entry);
  static void fill(store::IndexStore& index, const Base& base);
  void replay(BrokerCore& core, const store::IndexView& index);
  void make_base(const store::ReplayFrom& position);
  void carry_out(const Cut& cut);

  LogId log_id_{};
  Now now_{.wall_ms = 1'700'000'000'000, .boot_ms = 1'000'000};
  std::unique_ptr<store::IndexStore> index_;
  const bool rows_alone_ = false;  ///< no log is there in which messages could be located
  std::unique_ptr<BrokerCore> core_;
  std::deque<Stored> log_{};
  std::map<Lsn, Base> bases_{};
  std::optional<Cut> cut_{};
  std::deque<std::unique_ptr<store::Entry>> taken_{};
  std::vector<Load> loads_{};
  std::vector<AskCheck> checks_{};
  std::map<std::uint64_t, Result<Response>> answers_{};
  std::map<std::uint64_t, Grant> grants_{};
  std::map<std::uint64_t, std::string> sessions_{};
  std::uint64_t unreadable_ = 0;
  std::vector<Loss> losses_{};
  bool serving_ = false;
  std::uint64_t next_session_ = 1;
  std::uint64_t next_request_ = 1;
};

}  // namespace tally::broker
