#pragma once
// One run of the demo: a broker, service A, service B, each a process that is killed and started again as the plan says.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <tally/sqlite.hpp>
#include <thread>
#include <vector>

#include "tools/demo/bank.h"
#include "tools/demo/plan.h"
#include "tools/process/child_process.h"

namespace tally::demo {

/// What the broker says about the demo's transactions.
struct Tallies {
  std::uint64_t committed = 0, rolled_back = 0, by_check = 0, in_doubt = 0;
};

/// Errors of the set-up are thrown as tally::Exception. One thread uses it; the thread of service B is its own.
class BankRun {
 public:
  struct Options {
    std::string service{};  ///< "service-a" or "naive-a"
    TransferId transfers = 0;
    Plan plan{};
    std::function<void(TransferId)> on_stopping{};  ///< service A printed `stopping ID`
  };
  /// Makes the databases and starts the broker.
  explicit BankRun(Options options);
  ~BankRun();

  const std::string& broker() const { return broker_->address; }
  sqlite::Database& database_a() { return *database_a_; }

  /// Runs all transfers, drawing a progress bar. Error: a service ended in a way that was not planned.
  Result<void> run();
  /// Waits until no transaction is in doubt and service B has booked each committed one. False: not within `limit`.
  bool settle(std::chrono::seconds limit);
  /// Lets a stopped service A go on. Any thread.
  void continue_a();

  Tallies tallies() const;
  Books books_a() { return read_books(*database_a_).value(); }
  Books books_b() { return read_books(*database_b_).value(); }
  int kills_of_a() const { return kills_of_a_; }
  int kills_of_b() const;
  int kills_of_broker() const { return kills_of_broker_; }
  /// Messages whose handling began more than once.
  std::uint64_t redelivered() const;

 private:
  std::vector<std::string> arguments_for(const std::string& service,
                                         const std::string& deaths) const;
  void start_tallyd(const std::string& listen);
  Result<int> run_a_from(TransferId from);
  void keep_b_running();
  void note_handling(const std::string& line);
  void begin_transfer(TransferId id);

  const Options options_;
  std::string folder_;
  std::optional<RunningBroker> broker_{};
  std::optional<sqlite::Database> database_a_{}, database_b_{};
  std::vector<TransferId> broker_kills_left_;
  TransferId begun_ = 0;
  int kills_of_a_ = 0, kills_of_broker_ = 0;

  mutable std::mutex mutex_{};  ///< guards what follows
  std::optional<ChildProcess> a_{}, b_{};
  bool stopping_ = false;
  int kills_of_b_ = 0;
  std::set<TransferId> deaths_of_b_left_{};
  TransferId last_handled_ = 0;
  std::map<std::string, std::uint64_t> handled_{};  ///< message uid → times its handling began
  std::thread b_thread_{};
};

}  // namespace tally::demo
