#pragma once
// Every decision of a producer about transactions and check-backs.
//
// Operation: events go in (begin, answers, outcomes of local work, checks, time), actions come out through take_actions().
// Each event carries the time, monotonic milliseconds; next_tick_ms() says when tick() has something to do.
//
// A transaction goes through these states:
//   preparing  all halves are asked at once; one that was cut off is asked again under the same id, not fresh, until
//              its deadline. A definite refusal ends it, and no local work is run.
//   looking    only with an id of the caller: is it decided already? Then the outcome is replayed.
//   running    the caller runs the local work.
//   resolving  the outcome of the local work is not known: the database is asked until it tells.
//   ending     END is asked until it is acknowledged, or refused for good.
// Concurrency: one thread; no I/O, no clock.
// Limits: `transactions_max` transactions in all states; `kChecksMax` checks under way.

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tally/database.hpp>
#include <tally/logging.hpp>
#include <tally/producer.hpp>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "producer-sdk/barrier_cleaning.h"
#include "protocol/base/requests.h"

namespace tally {

/// Names a transaction within one core. Never reused.
using TransactionKey = Id<struct TransactionKeyTag, std::uint64_t>;
/// Names someone who waits for a transaction's end.
using WaiterKey = Id<struct WaiterKeyTag, std::uint64_t>;
/// Names one question to a database or listener.
using CheckTicket = Id<struct CheckTicketTag, std::uint64_t>;

struct ProducerCoreOptions {
  std::string group{};
  std::uint32_t transactions_max = 10'000;
};

struct BeginTransaction {
  std::string id{};
  bool id_of_caller = false;  ///< may have been used before, here or elsewhere
  StoreId store{};            ///< zero: the listener's
  struct Half {
    std::string topic{};
    std::string block{};
  };
  std::vector<Half> halves{};
  std::int64_t timeout_ms = 0;
  std::int64_t first_check_ms = 0;
  std::int64_t lifetime_ms = 0;
};

namespace action {

/// Ask the broker; the answer goes to the function of the core that is named.
struct AskPrepare {  // prepare_answered()
  TransactionKey key{};
  std::uint32_t message = 0;
  PrepareRequest request{};
  std::string_view block{};  ///< valid until the core is called again
  std::int64_t timeout_ms = 0;
};
struct AskShow {  // show_answered()
  TransactionKey key{};
  std::string id{};
  std::int64_t timeout_ms = 0;
};
struct AskEnd {  // end_answered()
  TransactionKey key{};
  EndRequest request{};
  std::int64_t timeout_ms = 0;
};
struct AskRegister {  // register_answered()
  RegisterCheckerRequest request{};
};
struct AskAnswerCheck {  // no answer needed: the broker asks again
  AnswerCheckRequest request{};
};
/// Let the caller run the local work; its outcome goes to local_finished().
struct RunLocal {
  TransactionKey key{};
  Handle handle{};
  std::int64_t deadline_ms = 0;  ///< monotonic
};
/// Tell the caller the outcome without local work.
struct Refuse {
  TransactionKey key{};
  Result<TransactionResult> result;
};
/// Ask the database or listener; the verdict goes to check_finished().
struct CheckLocal {
  CheckTicket ticket{};
  StoreId store{};
  std::string transaction{};
  Handle handle{};
};
/// Tell a waiter.
struct Settle {
  WaiterKey waiter{};
  Result<TransactionResult> result;
};
struct Log {
  LogLevel level{};
  std::string text{};
};

}  // namespace action

using ProducerAction =
    std::variant<action::AskPrepare, action::AskShow, action::AskEnd, action::AskRegister,
                 action::AskAnswerCheck, action::RunLocal, action::Refuse, action::CheckLocal,
                 action::ListBarrier, action::AskFindFinal, action::ForgetRows, action::Settle,
                 action::Log>;

class ProducerCore {
 public:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
  static constexpr std::uint32_t kChecksMax = 4'096;
  static constexpr std::int64_t kEndTimeoutMs = 10'000;  // of one attempt

  explicit ProducerCore(ProducerCoreOptions options) : options_(std::move(options)) {}

  /// A database (or zero: the listener) whose checks are answered here.
  void attach(StoreId store);
  void connected(std::int64_t now_ms, const HelloResponse& hello);
  void register_answered(std::int64_t now_ms, const Result<RegisterCheckerResponse>& answer);

  /// Its id and halves are well-formed. Answered by RunLocal or Refuse.
  void begin(std::int64_t now_ms, TransactionKey key, BeginTransaction&& begin);
  void prepare_answered(std::int64_t now_ms, TransactionKey key, std::uint32_t message,
                        const Result<PrepareResponse>& answer);
  void show_answered(std::int64_t now_ms, TransactionKey key,
                     const Result<ShowTransactionResponse>& answer);
  void local_finished(std::int64_t now_ms, TransactionKey key, const LocalOutcome& outcome);
  void end_answered(std::int64_t now_ms, TransactionKey key, const Result<EndResponse>& answer);

  /// The broker asks. Answered by AskAnswerCheck, now or after check_finished().
  void check_asked(const CheckRequest& check);
  void check_finished(std::int64_t now_ms, CheckTicket ticket, const CheckVerdict& verdict);

  void barrier_listed(std::int64_t now_ms, Result<std::vector<BarrierRow>>&& rows);
  void finality_answered(std::int64_t now_ms, const Result<FindFinalResponse>& answer);
  void barrier_forgotten(std::int64_t now_ms, const Result<void>& done);

  /// False when this producer has no such transaction: the broker knows. Else Settle follows.
  bool wait(std::string_view id, WaiterKey waiter);
  void stop_waiting(WaiterKey waiter);

  void tick(std::int64_t now_ms);
  std::int64_t next_tick_ms() const;

  /// Transactions whose end the broker has not confirmed.
  std::size_t open_transactions() const { return open_.size(); }
  /// Nothing is answered any more: whoever waits is told CLOSED.
  void close();

  std::vector<ProducerAction> take_actions() { return std::exchange(actions_, {}); }

  /// What the caller of in_transaction() is told about an outcome of local work.
  static TransactionResult result_of(std::string_view id, const LocalOutcome& outcome);

 private:
  enum class State : std::uint8_t { kPreparing, kLooking, kRunning, kResolving, kEnding };
  struct Transaction {
    TransactionKey key{};
    State state{};
    BeginTransaction asked{};
    std::int64_t begun_ms = 0;       ///< before the first PREPARE was sent
    std::uint32_t flying = 0;        ///< halves asked and not answered
    std::uint32_t stored = 0;        ///< halves acknowledged
    bool may_be_stored = false;      ///< an attempt ended with an unknown outcome
    std::optional<Error> failure{};  ///< the first reason to give up preparing
    Handle handle{};
    std::int64_t deadline_ms = 0;  ///< monotonic: after it no local work may begin
    Decision decision{};           ///< of END
    std::uint32_t attempts = 0;    ///< of END, or of resolving: for the back-off
    std::int64_t due_ms = kNever;
    TransactionResult result{};
    std::vector<WaiterKey> waiters{};
  };
  /// A question to a database: the broker's, or (key set) for a transaction in doubt.
  struct Check {
    TransactionKey key{};
    CheckRequest asked{};
  };
  using Open = std::unordered_map<TransactionKey, std::unique_ptr<Transaction>>;

  Transaction* find(TransactionKey key, State state);
  void ask_prepare(std::int64_t now_ms, Transaction& transaction, std::uint32_t message,
                   bool fresh);
  void ask_show(std::int64_t now_ms, Transaction& transaction);
  static std::int64_t time_left_ms(std::int64_t now_ms, const Transaction& transaction);
  void half_stored(Transaction& transaction, const PrepareResponse& answer);
  void give_up(Transaction& transaction);
  void run_local(Transaction& transaction);
  void end(Transaction& transaction, Decision decision);
  void ask_end(Transaction& transaction);
  void resolve(Transaction& transaction);
  void resolved(std::int64_t now_ms, Transaction& transaction, const CheckVerdict& verdict);
  void retry_later(std::int64_t now_ms, Transaction& transaction);
  void finish(Transaction& transaction, const Result<TransactionResult>& result);
  void answer_check(const CheckRequest& check, const CheckVerdict& verdict);
  void set_due(Transaction& transaction, std::int64_t due_ms);
  bool attached(StoreId store) const;
  void ask_register();
  template <typename Action>
  void act(Action&& action) {
    actions_.emplace_back(std::forward<Action>(action));
  }
  void log(LogLevel level, std::string text) { act(action::Log{level, std::move(text)}); }

  const ProducerCoreOptions options_;
  std::vector<StoreId> stores_{};
  bool connected_ = false;
  std::int64_t broker_ahead_ms_ = 0;  ///< broker time minus our monotonic time, at most
  std::int64_t register_due_ms_ = kNever;
  Open open_{};
  std::unordered_multimap<std::string, TransactionKey> by_id_{};
  std::multimap<std::int64_t, TransactionKey> due_{};
  std::unordered_map<CheckTicket, Check> checks_{};
  BarrierCleaning cleaning_{};
  std::uint64_t last_ticket_ = 0;
  std::vector<ProducerAction> actions_{};
};

}  // namespace tally
