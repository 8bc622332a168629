#pragma once
// A producer without the SDK: it says whatever the protocol allows, on several connections at once. It ends transactions
// twice, both ways, too early, too late, under ids and handles that are no longer right, leaves checks undecided, answers
// those that others were asked, and sends numbered messages again and again.
//
// It has no database: what the broker decides first is the truth.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/simulation/client_link.h"
#include "tests/simulation/race_watch.h"
#include "tests/simulation/workload.h"

namespace tally::simulation {

class RawProducer final : public Process {
 public:
  RawProducer(World& world, const Options& options, const ClientLink::Surroundings& surroundings,
              RaceWatch& watch, Workload& workload);

  void switch_on();
  /// No new transactions; checks are answered with what was decided, or else with rollback.
  void heal() { works_ = false; }
  /// The run is over: requests that fly stay unanswered.
  void end();
  bool idle() const { return persisting_ == 0; }

 private:
  /// A transaction under way.
  struct Plan {
    std::string id{};
    std::vector<Workload::Half> halves{};
    std::string group{};
    std::int64_t retried_until_ms = 0;
    Handle handle{};
    std::uint32_t messages() const { return static_cast<std::uint32_t>(halves.size()); }
  };
  using SharedPlan = std::shared_ptr<Plan>;
  using Script = void (RawProducer::*)(const SharedPlan&);
  using Then = std::function<void()>;
  using Ended = std::function<void(const Result<EndResponse>&)>;

  // --- what it does, one function for each kind of transaction ---
  void end_as_planned(const SharedPlan& plan);
  void end_twice(const SharedPlan& plan);
  void end_both_ways(const SharedPlan& plan);
  void end_when_asked(const SharedPlan& plan);
  void end_before_last_half(const SharedPlan& plan);
  void commit_late(const SharedPlan& plan);
  void end_later_namesake(const SharedPlan& plan);
  void begin_namesake(const SharedPlan& plan, const Winner& winner);
  void prepare_twice(const SharedPlan& plan);
  void answer_uninvited(const SharedPlan& plan);
  void end_as_operator(const SharedPlan& plan);
  void end_as_stranger(const SharedPlan& plan);
  void never_decide(const SharedPlan& plan);
  void crowd();
  void send_numbered();

  void work_now_and_then();
  Script choose();
  SharedPlan make_plan();
  Decision any_decision() { return random_.one_in(3) ? Decision::kRollback : Decision::kCommit; }

  // --- requests ---
  void prepare_all(const SharedPlan& plan, Then then);
  void prepare(ClientLink& link, const SharedPlan& plan, std::uint32_t message, bool fresh,
               Then then);
  EndRequest end_of(const Plan& plan, Decision decision) const;
  void end_once(ClientLink& link, const EndRequest& request);
  /// Asks until it is answered for good.
  void end(ClientLink& link, const EndRequest& request, Ended then);
  void check_asked(const CheckRequest& check);
  void answer_check(ClientLink& link, const CheckRequest& check, Decision decision);
  void send(ClientLink& link, const SendRequest& request, const Workload::Half& message, Then then);
  std::shared_ptr<ClientLink> connect(int number, StoreId store, bool checks);

  const Options& options_;
  const ClientLink::Surroundings around_;
  RaceWatch& watch_;
  Workload& workload_;
  Random random_;
  bool works_ = true;
  std::uint64_t persisting_ = 0;  ///< ends that are asked until they are answered
  std::shared_ptr<ClientLink> first_{}, second_{}, third_{}, stranger_{};
  std::uint64_t sequences_ = 0;                 ///< of numbered messages
  std::map<std::string, Decision> verdicts_{};  ///< answers to checks; kUnknown: not decided yet
  std::map<std::string, std::function<void(const CheckRequest&)>> on_check_{};
};

}  // namespace tally::simulation
