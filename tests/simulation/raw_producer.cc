#include "tests/simulation/raw_producer.h"

namespace tally::simulation {
namespace {

constexpr std::int64_t kTimeoutMs = 2'000;
constexpr std::int64_t kRetriedMs = 3'000;
constexpr int kStranger = 4;
constexpr const char* kGroup = "raw";
constexpr std::uint64_t kProducer = 7;

StoreId unrelated_store() {
  StoreId store;
  store.bytes.fill(0xee);
  return store;
}

}  // namespace

RawProducer::RawProducer(World& world, const Options& options,
                         const ClientLink::Surroundings& surroundings, RaceWatch& watch,
                         Workload& workload)
    : Process(world, "raw"),
      options_(options),
      around_(surroundings),
      watch_(watch),
      workload_(workload),
      random_(world.random().fork()) {}

void RawProducer::switch_on() {
  begin_life();
  first_ = connect(1, StoreId{}, true);
  second_ = connect(2, unrelated_store(), true);
  third_ = connect(3, StoreId{}, false);
  stranger_ = connect(kStranger, StoreId{}, false);
  work_now_and_then();
  if (options_.leans_to(Race::kManyPendingAtStart)) {
    after(random_.between(100, options_.faulty_ms / 2) * kMs, [this] { crowd(); });
  }
}

void RawProducer::end() {
  for (const auto& link : {first_, second_, third_, stranger_}) link->end(true);
}

std::shared_ptr<ClientLink> RawProducer::connect(int number, StoreId store, bool checks) {
  auto link = std::make_shared<std::weak_ptr<ClientLink>>();
  net::Client::Callbacks callbacks;
  if (checks) {
    callbacks.on_connected = [store, link](const HelloResponse&) {
      for (const char* group : {kGroup, Workload::kRolledBackGroup, Workload::kNamesakesGroup}) {
        link->lock()->ask(RegisterCheckerRequest{.group = group, .stores = {store}}, {}, kTimeoutMs,
                          [](Result<net::Answer>&&) {});
      }
    };
    callbacks.on_check = [this](CheckRequest&& check) { check_asked(check); };
  }
  auto made =
      std::make_shared<ClientLink>(*this, name() + "." + std::to_string(number), around_,
                                   std::move(callbacks), number == kStranger ? "stranger" : name());
  *link = made;
  made->start();
  return made;
}

void RawProducer::work_now_and_then() {
  after(random_.between(1, 2 * options_.between_transactions_ms) * kMs, [this] {
    if (!works_) return;
    (this->*choose())(make_plan());
    if (random_.one_in(3)) send_numbered();
    work_now_and_then();
  });
}

RawProducer::Script RawProducer::choose() {
  struct Choice {
    Script script;
    Race race;
  };
  static constexpr Choice kChoices[] = {
      {&RawProducer::end_as_planned, Race{}},
      {&RawProducer::end_twice, Race{}},
      {&RawProducer::end_as_operator, Race{}},
      {&RawProducer::end_as_stranger, Race{}},
      {&RawProducer::never_decide, Race::kCommitAfterPark},
      {&RawProducer::end_both_ways, Race::kCommitAfterRollback},
      {&RawProducer::commit_late, Race::kCommitAfterRollback},
      {&RawProducer::end_when_asked, Race::kCommitMeetsRollback},
      {&RawProducer::end_before_last_half, Race::kEndOvertakesHalf},
      {&RawProducer::end_later_namesake, Race::kEndDelayed},
      {&RawProducer::prepare_twice, Race::kPreparedTwice},
      {&RawProducer::answer_uninvited, Race::kUnrelatedAnswers},
  };
  std::vector<Script> scripts;
  for (const Choice& choice : kChoices) {
    const std::size_t weight = options_.leans_to(choice.race) ? 4 : 1;
    scripts.insert(scripts.end(), weight, choice.script);
  }
  return scripts[random_.below(scripts.size())];
}

RawProducer::SharedPlan RawProducer::make_plan() {
  auto plan = std::make_shared<Plan>();
  plan->id = workload_.fresh_id(kGroup);
  plan->halves = Workload::halves(plan->id, WallClock::kStartMs);
  plan->group = kGroup;
  plan->retried_until_ms = world().now_ms() + kRetriedMs;
  verdicts_[plan->id] = Decision::kUnknown;
  return plan;
}

// --- kinds of transactions ---

void RawProducer::end_as_planned(const SharedPlan& plan) {
  prepare_all(plan, [this, plan] {
    const Decision decision = any_decision();
    verdicts_[plan->id] = decision;
    end(*first_, end_of(*plan, decision), {});
  });
}

void RawProducer::end_twice(const SharedPlan& plan) {
  prepare_all(plan, [this, plan] {
    const Decision decision = any_decision();
    verdicts_[plan->id] = decision;
    end(*first_, end_of(*plan, decision), {});
    end(*second_, end_of(*plan, decision), {});
    after(random_.between(1, 2'000) * kMs,
          [this, plan, decision] { end(*second_, end_of(*plan, decision), {}); });
  });
}

void RawProducer::end_both_ways(const SharedPlan& plan) {
  prepare_all(plan, [this, plan] {
    end_once(*first_, end_of(*plan, Decision::kCommit));
    end_once(*second_, end_of(*plan, Decision::kRollback));
    verdicts_[plan->id] = any_decision();
  });
}

void RawProducer::end_when_asked(const SharedPlan& plan) {
  prepare_all(plan, [this, plan] {
    on_check_[plan->id] = [this, plan](const CheckRequest& check) {
      verdicts_[plan->id] = Decision::kRollback;
      if (random_.one_in(2)) end_once(*second_, end_of(*plan, Decision::kCommit));
      answer_check(*first_, check, Decision::kRollback);
      end_once(*third_, end_of(*plan, Decision::kCommit));
    };
  });
}

void RawProducer::end_before_last_half(const SharedPlan& plan) {
  Workload::Half last = plan->halves.back();
  plan->halves.pop_back();
  if (plan->halves.empty()) plan->halves = {last};
  prepare_all(plan, [this, plan] {
    const auto another = Workload::halves(plan->id + "/last", WallClock::kStartMs);
    plan->halves.push_back(another.front());
    end_once(*second_, end_of(*plan, Decision::kCommit));
    after(random_.between(0, 400), [this, plan] {
      prepare(*first_, plan, plan->messages(), false, [this, plan] {
        verdicts_[plan->id] = Decision::kCommit;
        end(*first_, end_of(*plan, Decision::kCommit), {});
      });
    });
  });
}

void RawProducer::commit_late(const SharedPlan& plan) {
  prepare_all(plan, [this, plan] {
    verdicts_[plan->id] = Decision::kRollback;
    end(*first_, end_of(*plan, Decision::kRollback), [this, plan](const Result<EndResponse>&) {
      after(random_.between(0, 3'000) * kMs,
            [this, plan] { end_once(*second_, end_of(*plan, Decision::kCommit)); });
    });
  });
}

/// When its decision has left memory, another client uses the id anew and says that it is fresh; meanwhile an END of the
/// first transaction is still on its way.
void RawProducer::end_later_namesake(const SharedPlan& plan) {
  plan->group = Workload::kNamesakesGroup;
  prepare_all(plan, [this, plan] {
    const Decision decision = any_decision();
    verdicts_[plan->id] = decision;
    end(*first_, end_of(*plan, decision), [this, plan](const Result<EndResponse>& ended) {
      if (!ended && !ended.error().winner) return;
      const Winner winner = ended ? ended->result : *ended.error().winner;
      after(random_.between(0, 2'500) * kMs, [this, plan, winner] {
        if (works_) begin_namesake(plan, winner);
      });
    });
  });
}

void RawProducer::begin_namesake(const SharedPlan& plan, const Winner& winner) {
  end_once(*third_, end_of(*plan, Decision::kCommit));
  third_->give_up_late();
  const auto namesake = std::make_shared<Plan>(Plan{
      .id = plan->id, .group = plan->group, .retried_until_ms = world().now_ms() + kRetriedMs});
  // As many messages, so that nothing but the handle tells the two apart.
  for (std::uint32_t i = 0; i < plan->messages(); ++i) {
    namesake->halves.push_back(
        Workload::halves(plan->id + "#2/" + std::to_string(i), WallClock::kStartMs).front());
    around_.observer.namesake(MessageBlock::parse(namesake->halves.back().block)->checksum(),
                              {plan->id + "#2", plan->id, winner});
  }
  verdicts_[plan->id] = Decision::kUnknown;
  prepare_all(namesake, [this, namesake] {
    after(random_.between(1, 4'000) * kMs, [this, namesake] {
      verdicts_[namesake->id] = Decision::kRollback;
      end(*first_, end_of(*namesake, Decision::kRollback), {});
    });
  });
}

void RawProducer::prepare_twice(const SharedPlan& plan) {
  const Decision decision = any_decision();
  verdicts_[plan->id] = decision;
  const auto done = std::make_shared<bool>(false);
  for (ClientLink* link : {first_.get(), second_.get()}) {
    prepare(*link, plan, 1, false, [this, plan, decision, done] {
      if (std::exchange(*done, true)) return;
      plan->halves.resize(1);
      end(*third_, end_of(*plan, decision), {});
    });
  }
}

void RawProducer::answer_uninvited(const SharedPlan& plan) {
  prepare_all(plan, [this, plan] {
    on_check_[plan->id] = [this, plan](const CheckRequest& check) {
      watch_.uninvited(check.transaction);
      answer_check(*third_, check, Decision::kRollback);
      CheckRequest guessed = check;
      ++guessed.challenge;
      answer_check(*second_, guessed, Decision::kCommit);
      verdicts_[plan->id] = Decision::kCommit;
      after(random_.between(0, 300) * kMs,
            [this, check] { answer_check(*first_, check, verdicts_[check.transaction]); });
    };
  });
}

void RawProducer::end_as_operator(const SharedPlan& plan) {
  prepare_all(plan, [this, plan] {
    verdicts_[plan->id] = any_decision();
    end(*second_,
        EndRequest{.transaction = plan->id,
                   .decision = any_decision(),
                   .by_operator = true,
                   .reason = "by hand"},
        {});
  });
}

void RawProducer::end_as_stranger(const SharedPlan& plan) {
  prepare_all(plan, [this, plan] {
    EndRequest strange = end_of(*plan, Decision::kCommit);
    if (random_.one_in(2)) strange.group = "thieves";
    end_once(*stranger_, strange);
    verdicts_[plan->id] = Decision::kRollback;
    after(random_.between(0, 500) * kMs,
          [this, plan] { end(*first_, end_of(*plan, Decision::kRollback), {}); });
  });
}

/// Its checks are used up: it is parked, or rolled back, and the decision comes afterwards.
void RawProducer::never_decide(const SharedPlan& plan) {
  if (random_.one_in(3)) plan->group = Workload::kRolledBackGroup;
  prepare_all(plan, [this, plan] {
    after(random_.between(1'000, 10'000) * kMs, [this, plan] {
      verdicts_[plan->id] = any_decision();
      end(*first_, end_of(*plan, verdicts_[plan->id]), {});
    });
  });
}

void RawProducer::crowd() {
  const std::int64_t size = random_.between(60, 120);
  for (std::int64_t i = 0; i < size; ++i) {
    const SharedPlan plan = make_plan();
    prepare_all(plan, [this, plan] {
      after(random_.between(2'000, 6'000) * kMs,
            [this, plan] { verdicts_[plan->id] = any_decision(); });
    });
  }
}

/// Until it is there, and then once more: one message, and each time the same answer.
void RawProducer::send_numbered() {
  const Workload::Half message = workload_.message("numbered", WallClock::kStartMs);
  const SendRequest request{
      .topic = message.topic, .producer = kProducer, .sequence = ++sequences_};
  if (random_.one_in(3)) send(*second_, request, message, [] {});
  send(*first_, request, message, [this, request, message] {
    after(random_.between(0, 3'000) * kMs,
          [this, request, message] { send(*third_, request, message, [] {}); });
  });
}

// --- requests ---

void RawProducer::send(ClientLink& link, const SendRequest& request, const Workload::Half& message,
                       Then then) {
  link.ask(request, message.block, kTimeoutMs,
           [this, &link, request, message, then](Result<net::Answer>&& answer) {
             if (answer) return then();
             if (!works_) return;
             after(50 * kMs,
                   [this, &link, request, message, then] { send(link, request, message, then); });
           });
}

void RawProducer::prepare_all(const SharedPlan& plan, Then then) {
  const auto left = std::make_shared<std::uint32_t>(plan->messages());
  for (std::uint32_t message = 1; message <= plan->messages(); ++message) {
    prepare(*first_, plan, message, message == 1, [left, then] {
      if (--*left == 0) then();
    });
  }
}

void RawProducer::prepare(ClientLink& link, const SharedPlan& plan, std::uint32_t message,
                          bool fresh, Then then) {
  const Workload::Half& half = plan->halves[message - 1];
  link.ask(PrepareRequest{.topic = half.topic,
                          .transaction = plan->id,
                          .group = plan->group,
                          .message = message,
                          .fresh = fresh},
           half.block, kTimeoutMs,
           [this, &link, plan, message, then](Result<net::Answer>&& answer) {
             if (answer) {
               plan->handle = std::get<PrepareResponse>(answer->response).handle;
               return then();
             }
             const ErrorCode code = answer.error().code;
             const bool again = code == ErrorCode::kDisconnected || code == ErrorCode::kTimeout;
             if (again && world().now_ms() < plan->retried_until_ms)
               prepare(link, plan, message, false, then);
           });
}

EndRequest RawProducer::end_of(const Plan& plan, Decision decision) const {
  return {.transaction = plan.id,
          .group = plan.group,
          .decision = decision,
          .handle = plan.handle,
          .messages = plan.messages()};
}

void RawProducer::end_once(ClientLink& link, const EndRequest& request) {
  link.ask(request, {}, kTimeoutMs, [](Result<net::Answer>&&) {});
}

void RawProducer::end(ClientLink& link, const EndRequest& request, Ended then) {
  ++persisting_;
  link.ask(request, {}, kTimeoutMs,
           [this, &link, request, then = std::move(then)](Result<net::Answer>&& answer) {
             --persisting_;
             if (!answer && retryable(answer.error().code) &&
                 answer.error().code != ErrorCode::kIncomplete) {
               ++persisting_;
               return after(20 * kMs, [this, &link, request, then] {
                 --persisting_;
                 end(link, request, then);
               });
             }
             if (!then) return;
             if (!answer) return then(answer.error());
             then(std::get<EndResponse>(answer->response));
           });
}

// --- checks ---

void RawProducer::check_asked(const CheckRequest& check) {
  if (auto node = on_check_.extract(check.transaction); !node.empty()) return node.mapped()(check);
  after(random_.between(0, 20) * kMs, [this, check] {
    Decision decision = verdicts_[check.transaction];
    if (decision == Decision{}) decision = Decision::kUnknown;
    if (!works_ && decision == Decision::kUnknown) decision = Decision::kRollback;
    if (works_ && random_.one_in(5)) decision = Decision::kUnknown;
    answer_check(*first_, check, decision);
  });
}

void RawProducer::answer_check(ClientLink& link, const CheckRequest& check, Decision decision) {
  link.ask(
      AnswerCheckRequest{
          .transaction = check.transaction, .challenge = check.challenge, .decision = decision},
      {}, kTimeoutMs, [](Result<net::Answer>&&) {});
}

}  // namespace tally::simulation
