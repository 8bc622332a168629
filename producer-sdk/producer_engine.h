#pragma once
// What runs a ProducerCore: the connection, the check threads, and the calls that wait.
//
// Concurrency: the core and everything below "network thread" belong to the client's network thread. Other threads hand
// tasks over with submit(); the first task in an empty list wakes the network thread, which takes all of them.
// Ownership: held by its Producer, and by a thread that ends it. Check jobs hold it weakly.

#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <tally/producer.hpp>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "producer-sdk/check_threads.h"
#include "producer-sdk/producer_core.h"
#include "protocol/net/client.h"

namespace tally {

class Producer::Engine : public std::enable_shared_from_this<Producer::Engine> {
 public:
  explicit Engine(ProducerOptions options);
  Result<void> start();

  Result<void> attach(std::shared_ptr<DatabaseAdapter> adapter);
  using SendCallback = std::function<void(Result<SendReceipt>&&)>;
  void send(const Message& message, SendCallback callback);

  /// What the caller of in_transaction() has to do: run the work, or take the result.
  using Turn = std::variant<action::RunLocal, Result<TransactionResult>>;
  using Run = std::function<LocalOutcome(const std::string& id, const Handle& handle,
                                         std::int64_t deadline_ms)>;
  Result<TransactionResult> in_transaction(StoreId store, const std::vector<Message>& messages,
                                           const TransactionOptions& options, const Run& run);
  Result<TransactionResult> wait(std::string_view id, std::int64_t timeout_ms);
  Result<void> stop(std::int64_t deadline_ms);
  /// stop() from any thread, also from the network thread, on which it cannot wait.
  void end(std::int64_t deadline_ms);

  bool on_network_thread() const;
  /// Error: why transactions of this database cannot be answered for.
  Result<void> check_attached(DatabaseAdapter& db);
  TransactionListener* listener() const { return options_.listener.get(); }

 private:
  using Waiting = std::shared_ptr<std::promise<Result<TransactionResult>>>;

  /// False after the last task: this one will not run.
  bool submit(std::function<void()> task, bool last = false);
  void run_tasks();
  template <typename... Args>
  void ask(Args&&... args);
  /// Asks the broker; the answer goes to `member` of the core with the time and `args`.
  template <typename Response, typename Member, typename... Args>
  void ask_for_core(Request&& request, std::string_view block, std::int64_t timeout_ms,
                    Member member, Args... args);

  /// Asks an attached database on a check thread; what it says goes to `member` of the core with the time.
  template <typename Ask, typename Member>
  void ask_database(StoreId store, Ask ask, Member member);

  // --- network thread ---
  void pump();
  void arm_timer();
  void perform(action::AskPrepare&& ask);
  void perform(action::AskShow&& ask);
  void perform(action::AskEnd&& ask);
  void perform(action::AskRegister&& ask);
  void perform(action::AskAnswerCheck&& ask);
  void perform(action::RunLocal&& run);
  void perform(action::Refuse&& refuse);
  void perform(action::CheckLocal&& check);
  void perform(action::ListBarrier&& list);
  void perform(action::AskFindFinal&& ask);
  void perform(action::ForgetRows&& forget);
  void perform(action::Settle&& settle);
  void perform(action::Log&& log);

  Result<BeginTransaction> make_begin(StoreId store, const std::vector<Message>& messages,
                                      const TransactionOptions& options) const;
  Result<TransactionResult> wait_for_broker(std::string_view id, std::int64_t until_ms);
  std::shared_ptr<DatabaseAdapter> adapter(StoreId store);
  CheckVerdict check_local(const action::CheckLocal& check);
  void tell(const SendCallback& callback, Result<SendReceipt>&& result) const;
  void send_done();
  void log(LogLevel level, std::string_view text) const;

  const ProducerOptions options_;
  CheckThreads checks_;
  std::atomic<std::uint64_t> last_key_ = 0;
  std::atomic<std::uint64_t> sends_open_ = 0;
  std::atomic<bool> stopping_ = false;  ///< no new work; set under mutex_, for those who wait

  std::mutex mutex_;
  std::condition_variable progress_;  ///< something ended, or the end began
  std::vector<std::function<void()>> tasks_;
  std::vector<std::shared_ptr<DatabaseAdapter>> adapters_;
  std::vector<std::pair<StoreId, Error>> refused_;
  std::size_t transactions_open_ = 0;
  bool closed_ = false;  ///< no task after those that are there

  std::shared_mutex client_mutex_;  ///< guards the pointer; taken by nobody for long
  std::unique_ptr<net::Client> client_;

  // Network thread:
  ProducerCore core_;
  LogId log_id_{};
  bool connected_ = false;
  std::int64_t armed_ms_ = ProducerCore::kNever;
  std::vector<std::function<void()>> running_tasks_;
  std::unordered_map<TransactionKey, std::shared_ptr<std::promise<Turn>>> turns_;
  std::unordered_map<WaiterKey, Waiting> waiters_;
};

}  // namespace tally
