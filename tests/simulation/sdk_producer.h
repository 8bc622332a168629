#pragma once
// A service that uses the producer SDK: the real ProducerCore and Sends on a simulated connection and database.
//
// Mirrors Producer::Engine and the calls of producer.cc: what runs there on callers' and check threads takes virtual time
// here. Several instances share a group and a database; each may die at every step of its transactions, or be stopped and
// go on when others have decided.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "producer-sdk/producer_core.h"
#include "producer-sdk/sends.h"
#include "tests/simulation/client_link.h"
#include "tests/simulation/database.h"
#include "tests/simulation/race_watch.h"
#include "tests/simulation/workload.h"

namespace tally::simulation {

class SdkProducer final : public Process {
 public:
  struct Surroundings {
    Network& network;
    Network::Listener& broker;
    Observer& observer;
    RaceWatch& watch;
    Workload& workload;
  };
  struct Identity {
    std::string name{};
    std::string group{};
    Database* database = nullptr;  ///< null: a listener
    ListenerState* listener = nullptr;
  };
  SdkProducer(World& world, const Options& options, const Surroundings& surroundings,
              Identity identity);

  void switch_on();
  /// No faults and no new transactions from here on; what was begun goes on.
  void heal();
  /// The run is over: requests that fly stay unanswered.
  void end();

  std::size_t open_transactions() const { return core_ ? core_->open_transactions() : 0; }

 private:
  /// A transaction of in_transaction(), until its local work is over.
  struct Call {
    std::string id{};
    bool id_of_caller = false;
    Handle handle{};
    std::int64_t deadline_ms = 0;    ///< of the boot clock
    std::int64_t wait_until_ms = 0;  ///< for locks
    Database::Local local = 0;
    Step at = Step::kBeforePrepare;
  };
  using Calls = std::map<TransactionKey, Call>;

  // --- life (sdk_producer.cc) ---
  void start();
  void die(std::string_view why);
  /// True: it died here.
  bool fate(Step step);
  void stop_for_a_while();
  void misfortunes();
  void work_now_and_then();
  void send();
  void sent(test::CallId call, const Result<SendReceipt>& result);
  void pump_sends();
  void end_link(bool told);
  void begin(bool id_of_caller);
  void pump();
  void arm_timer();

  void perform(const action::AskPrepare& ask);
  void perform(const action::AskShow& ask);
  void perform(const action::AskEnd& ask);
  void perform(const action::AskRegister& ask);
  void perform(const action::AskAnswerCheck& ask);
  void perform(const action::RunLocal& run);
  void perform(const action::Refuse& refuse);
  void perform(const action::CheckLocal& check);
  void perform(const action::ListBarrier& list);
  void perform(const action::AskFindFinal& asked);
  void perform(const action::ForgetRows& forget);
  void perform(const action::Settle&) {}
  void perform(const action::Log& log);
  template <typename Response, typename Then>
  void ask(Request request, std::string_view block, std::int64_t timeout_ms, Then then);

  // --- local work (local_work.cc) ---
  void run_local(TransactionKey key);
  void begin_on_database(TransactionKey key);
  void work(TransactionKey key);
  void commit(TransactionKey key);
  void commit_failed(TransactionKey key);
  void conclude(TransactionKey key, const LocalOutcome& outcome);
  void finish(TransactionKey key, const LocalOutcome& outcome);
  void run_listener(TransactionKey key);
  void listener_ends(TransactionKey key);
  using Verdict = std::function<void(const CheckVerdict&)>;
  void check_database(const std::string& transaction, const Handle& handle, std::int64_t until_ms,
                      Verdict then);
  void check_listener(const action::CheckLocal& check);
  void answer_check(const action::CheckLocal& check, const CheckVerdict& verdict);
  std::int64_t to_wall_ms(std::int64_t boot_ms) const;

  const Options& options_;
  const Surroundings around_;
  const Identity identity_;
  Random random_;
  ProducerFaults faults_;
  bool works_ = true;
  WallClock wall_{};
  std::uint64_t lives_ = 0;

  // Of one life:
  std::shared_ptr<ProducerCore> core_{};
  std::shared_ptr<Sends> sends_{};
  std::shared_ptr<ClientLink> link_{};
  Calls calls_{};
  std::set<test::CallId> open_sends_{};
  std::uint64_t keys_ = 0;
  std::int64_t timer_ms_ = 0;
};

}  // namespace tally::simulation
