#pragma once
// Sending messages, alone or together with a local database transaction.
//
//   auto db = tally::sqlite::Database::open("orders.db").value();
//   auto producer = tally::Producer::connect({.broker = "127.0.0.1:7410", .group = "orders"}).value();
//   producer.attach(db);
//   auto sent = producer.in_transaction(db, {.topic = "order.created", .key = "42"}, [](tally::sqlite::Transaction& tx) {
//     tx.execute("insert into orders values (?, ?)", 42, "new");
//     return tally::Decision::kCommit;
//   });

#include <any>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tally/database.hpp>
#include <tally/error.hpp>
#include <tally/logging.hpp>
#include <tally/message.hpp>
#include <tally/result.hpp>
#include <utility>
#include <vector>

namespace tally {

/// For local state that is not a database with an adapter: the user answers check-backs.
///
/// Thread-safe: execute() runs on threads that call in_transaction(), check() on the SDK's check threads, at the same time.
class TransactionListener {
 public:
  struct Call {
    std::string_view transaction{};
    std::span<const Message> messages{};
    const std::any& argument;  ///< what the caller of in_transaction() gave
    std::int64_t
        deadline_ms{};  ///< Unix epoch; an execute() that ends later is reported, and may lose to a check
  };
  virtual ~TransactionListener() = default;

  /// Does the local work. kUnknown and an exception leave the outcome to check(). With an id that the caller gave it may be
  /// called again for the same id.
  virtual Decision execute(const Call& call) = 0;
  /// What became of the local work? kUnknown is an answer: asked again later. kRollback counts as kUnknown until the
  /// transaction's lifetime is over, because work that is not seen may still be under way.
  virtual Decision check(std::string_view transaction) = 0;
};

struct ProducerOptions {
  std::string broker = "127.0.0.1:7410";
  std::string
      group{};  ///< producer group: whose check-backs are answered here; `[A-Za-z0-9._-]{1,127}`
  std::string client{};  ///< identity in Hello; empty: the group
  /// How long a send, or the storing of a transaction's messages, may take.
  std::chrono::milliseconds timeout{10'000};
  /// Transactions that are open or whose end the broker has not yet confirmed. Over it: OVERLOADED.
  std::uint32_t transactions_max = 10'000;
  std::shared_ptr<TransactionListener> listener{};
  LogCallback log{};
};

struct TransactionOptions {
  /// The caller's own id, 1 to 255 bytes: an idempotency key. A repeat replays the outcome instead of running the work.
  std::string id{};
  std::chrono::milliseconds timeout{0};      ///< 0: the producer's
  std::chrono::milliseconds first_check{0};  ///< 0: the broker's default
  std::chrono::milliseconds lifetime{0};     ///< 0: the broker's default
};

enum class TransactionOutcome : std::uint8_t {
  kCommitted,   ///< the local work is durable, the messages will be delivered
  kRolledBack,  ///< neither local work nor messages
  kInDoubt,     ///< not known yet: the SDK keeps resolving, wait(id) tells
};

struct TransactionResult {
  std::string id{};
  TransactionOutcome outcome{};
  bool replayed{};  ///< decided earlier under the same id: the work was not run
  std::optional<Error>
      cause{};  ///< why it was rolled back or is in doubt, when it was not the work's wish
};

/// What attach() says. Unlike other results it may be dropped: transactions of a refused database fail for the same reason.
struct AttachResult : Result<void> {
  AttachResult(Result<void> result) : Result<void>(std::move(result)) {}
};

/// A connection to the broker, for any number of threads.
///
/// Operation: one network thread and two check threads. A lost connection is restored with back-off. What was cut off is
/// repeated until its deadline: a send under its number, halves and ends of a transaction under its id. The broker stores it once.
/// Concurrency: all functions but move, stop() and the destructor may be called from any thread at once. Blocking ones are
/// refused (INVALID_ARGUMENT) on the SDK's network thread, that is in callbacks.
/// Ownership: attach() and the listener are shared and kept until stop.
/// Limits: ProducerOptions; 65,536 sends and 32 MiB of their messages may be open, more end with OVERLOADED at once.
class Producer {
 public:
  /// Does not wait for the broker: calls do, until their deadline. Errors: INVALID_NAME (group), INVALID_ARGUMENT (address).
  static Result<Producer> connect(ProducerOptions options);
  Producer(Producer&&) noexcept;
  Producer& operator=(Producer&&) noexcept;
  /// stop() with two seconds.
  ~Producer();

  /// From now on check-backs for `db` are answered here. Keeps a copy of the handle. Error: DATABASE_NOT_DURABLE.
  template <std::derived_from<DatabaseAdapter> Db>
  AttachResult attach(const Db& db) {
    return {attach_adapter(std::make_shared<Db>(db))};
  }

  /// Waits until the message is durable. Errors: what the broker says; OVERLOADED; UNREACHABLE; TIMEOUT and DISCONNECTED:
  /// it may or may not have been stored, and repeating the call may store it twice.
  Result<SendReceipt> send(const Message& message);
  /// The same without waiting. `callback` runs once, on the network thread (or on this one, when the message is refused at
  /// once): it must not block.
  void send_async(const Message& message, std::function<void(Result<SendReceipt>&&)> callback);
  std::future<Result<SendReceipt>> send_async(const Message& message);

  /// Runs `work` on this thread in a transaction of `db`; the messages are delivered if and only if it commits.
  ///
  /// `work` takes Db::Transaction& and returns Decision or Result<Decision>; kRollback, an error or an exception roll back
  /// both sides. It returns when the local transaction is decided; the end travels in the background and is repeated until
  /// acknowledged. An error means: the work was not run, and nothing will be delivered because of this call.
  template <std::derived_from<DatabaseAdapter> Db, typename Work>
  Result<TransactionResult> in_transaction(Db& db, std::vector<Message> messages, Work&& work,
                                           TransactionOptions options = {}) {
    const LocalWork erased = [&work](LocalTransaction& open) -> Result<Decision> {
      return work(static_cast<typename Db::Transaction&>(open));
    };
    return run_in_transaction(db, messages, erased, options);
  }
  template <std::derived_from<DatabaseAdapter> Db, typename Work>
  Result<TransactionResult> in_transaction(Db& db, Message message, Work&& work,
                                           TransactionOptions options = {}) {
    std::vector<Message> messages;
    messages.push_back(std::move(message));
    return in_transaction(db, std::move(messages), std::forward<Work>(work), std::move(options));
  }

  /// The same with the listener's execute() as the work.
  Result<TransactionResult> in_transaction(const std::vector<Message>& messages,
                                           const std::any& argument = {},
                                           const TransactionOptions& options = {});

  /// Waits until the broker has confirmed the transaction's end (of this producer or of any other). Errors: TIMEOUT; CONFLICT
  /// when it was decided the other way; NOT_FOUND_OR_EXPIRED.
  Result<TransactionResult> wait(std::string_view id,
                                 std::chrono::milliseconds timeout = std::chrono::seconds(30));

  /// Refuses new work, waits at most `deadline` for sends and the ends of transactions, then disconnects and joins. What the broker
  /// has not confirmed by then, check-back decides. Error: TIMEOUT when something was left. Repeating it is harmless.
  Result<void> stop(std::chrono::milliseconds deadline = std::chrono::seconds(10));

 private:
  class Engine;
  explicit Producer(std::shared_ptr<Engine> engine);
  Result<void> attach_adapter(std::shared_ptr<DatabaseAdapter> adapter);
  Result<TransactionResult> run_in_transaction(DatabaseAdapter& db,
                                               const std::vector<Message>& messages,
                                               const LocalWork& work,
                                               const TransactionOptions& options);

  std::shared_ptr<Engine> engine_;
};

}  // namespace tally
