#pragma once
// What runs a ProducerCore and its Sends: the connection, the check threads, and the calls that wait.
//
// Concurrency: both and everything below "network thread" belong to the client's network thread. Other threads hand
// sends and tasks over; the first one wakes the network thread, which takes all that is there.
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
#include "producer-sdk/sends.h"
#include "protocol/net/client.h"

namespace tally {

class Producer::Engine : public std::enable_shared_from_this<Producer::Engine> {
 public:
  explicit Engine(ProducerOptions options);
  Result<void> start();

  Result<void> attach(std::shared_ptr<DatabaseAdapter> adapter);
  void send(const Message& message, Sends::Callback callback);

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

  /// What other threads have for the network thread.
  struct HandedOver {
    std::vector<Sends::New> sends{};
    std::vector<std::function<void()>> tasks{};
    bool empty() const { return sends.empty() && tasks.empty(); }
  };
  /// False after the last one: nothing was handed over.
  template <typename Put>
  bool hand_over(Put&& put, bool last = false);
  bool submit(std::function<void()> task, bool last = false);
  void run_handed_over();
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
  void pump_sends();
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
  void tell(const Sends::Callback& callback, Result<SendReceipt>&& result) const;
  void end_send(std::size_t bytes);
  void log(LogLevel level, std::string_view text) const;

  const ProducerOptions options_;
  CheckThreads checks_;
  std::atomic<std::uint64_t> last_key_ = 0;
  std::atomic<std::size_t> sends_open_ = 0;
  std::atomic<std::size_t> send_bytes_ = 0;  ///< of their message blocks
  std::atomic<bool> stopping_ = false;       ///< no new work; set under mutex_, for those who wait

  std::mutex mutex_;
  std::condition_variable progress_;  ///< something ended, or the end began
  HandedOver handed_over_;
  std::vector<std::shared_ptr<DatabaseAdapter>> adapters_;
  std::vector<std::pair<StoreId, Error>> refused_;
  std::size_t transactions_open_ = 0;
  bool closed_ = false;  ///< nothing after what is handed over

  std::shared_mutex client_mutex_;  ///< guards the pointer; taken by nobody for long
  std::unique_ptr<net::Client> client_;

  // Network thread:
  ProducerCore core_;
  Sends sends_;
  bool connected_ = false;
  std::int64_t armed_ms_ = ProducerCore::kNever;
  HandedOver running_;
  std::vector<Sends::Ended> ended_sends_;
  std::unordered_map<TransactionKey, std::shared_ptr<std::promise<Turn>>> turns_;
  std::unordered_map<WaiterKey, Waiting> waiters_;
};

template <typename Put>
bool Producer::Engine::hand_over(Put&& put, bool last) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return false;
    closed_ = last;
    const bool wake = handed_over_.empty();
    put(handed_over_);
    if (!wake) return true;
  }
  // stop() waits for the last task before it takes the client away, so the client is there.
  const std::shared_lock lock(client_mutex_);
  client_->post([this] { run_handed_over(); });
  return true;
}

}  // namespace tally
