#include "tests/simulation/sdk_producer.h"

#include <algorithm>
#include <limits>

#include "protocol/base/limits.h"
#include "protocol/base/message_block.h"

namespace tally::simulation {
namespace {

constexpr std::int64_t kDayMs = 24 * 3'600'000;
constexpr std::int64_t kRegisterTimeoutMs = 10'000;
constexpr std::int64_t kFindFinalTimeoutMs = 10'000;

/// The channel gives no answer of another kind.
template <typename T>
Result<T> response_in(Result<net::Answer>&& answer) {
  if (!answer) return std::move(answer).error();
  return std::get<T>(std::move(answer->response));
}

}  // namespace

SdkProducer::SdkProducer(World& world, const Options& options, const Surroundings& surroundings,
                         Identity identity)
    : Process(world, identity.name),
      options_(options),
      around_(surroundings),
      identity_(std::move(identity)),
      random_(world.random().fork()),
      faults_(options.producer) {}

void SdkProducer::switch_on() {
  wall_.offset_ms = random_.between(-1'000, 1'000);
  start();
  misfortunes();
}

void SdkProducer::heal() {
  faults_ = {};
  works_ = false;
  go_on();
}

void SdkProducer::start() {
  begin_life();
  ++lives_;
  keys_ = 0;
  timer_ms_ = ProducerCore::kNever;
  core_ = std::make_shared<ProducerCore>(ProducerCoreOptions{.group = identity_.group});
  sends_ = std::make_shared<Sends>(random_.between(1, std::numeric_limits<std::int64_t>::max()));
  core_->attach(identity_.database != nullptr ? identity_.database->store() : StoreId{});
  net::Client::Callbacks callbacks;
  callbacks.on_connected = [this](const HelloResponse& hello) {
    core_->connected(boot_ms(), hello);
    sends_->connected(hello.log);
    pump();
  };
  callbacks.on_disconnected = [this](const Error& error) {
    if (sends_ == nullptr) return;
    sends_->disconnected(error);
    arm_timer();
  };
  callbacks.on_check = [this](CheckRequest&& check) {
    around_.watch.check_asked(check.transaction);
    core_->check_asked(check);
    pump();
  };
  link_ = std::make_shared<ClientLink>(
      *this, name() + "." + std::to_string(lives_),
      ClientLink::Surroundings{around_.network, around_.broker, around_.observer, false},
      std::move(callbacks), identity_.group);
  link_->start();
  work_now_and_then();
}

// --- misfortunes ---

bool SdkProducer::fate(Step step) {
  if (!random_.chance(faults_.death[static_cast<std::size_t>(step)])) return false;
  die("at step " + std::to_string(static_cast<int>(step)));
  return true;
}

void SdkProducer::die(std::string_view why) {
  world().trace(name(), "dies ", why);
  for (const auto& [key, call] : calls_) {
    around_.watch.producer_died(call.id, call.at);
    if (call.local == 0) continue;
    // The database notices by and by.
    world().after(
        random_.between(1, 50) * kMs,
        [database = identity_.database, local = call.local] { database->roll_back(local); });
  }
  end_link(!random_.one_in(4));
  // This may be a callback of theirs.
  world().after(0,
                [core = std::move(core_), sends = std::move(sends_), link = std::move(link_)] {});
  core_.reset();
  sends_.reset();
  link_.reset();
  calls_.clear();
  end_life();
  world().after(random_.between(1, faults_.down_ms) * kMs, [this] { start(); });
}

void SdkProducer::misfortunes() {
  constexpr std::int64_t kEveryMs = 100;
  world().after(kEveryMs * kMs, [this] {
    const auto now_and_then = [&](double per_s) {
      return random_.chance(per_s * kEveryMs / 1'000);
    };
    if (now_and_then(faults_.clock_jump_per_s)) {
      wall_.offset_ms += random_.between(-kDayMs, kDayMs);
      if (identity_.database != nullptr) {
        identity_.database->wall().offset_ms += random_.between(-kDayMs, kDayMs);
      }
      world().trace(name(), "the wall clock jumps");
    }
    if (alive() && !stopped() && now_and_then(faults_.stop_per_s)) stop_for_a_while();
    misfortunes();
  });
}

void SdkProducer::stop_for_a_while() {
  world().trace(name(), "is stopped");
  stop();
  world().after(random_.between(100, faults_.stopped_ms) * kMs, [this] {
    if (!stopped()) return;
    world().trace(name(), "goes on");
    for (const auto& [key, call] : calls_) {
      if (!call.id_of_caller) around_.watch.went_on_with(call.id);
    }
    go_on();
  });
}

// --- transactions ---

void SdkProducer::work_now_and_then() {
  after(random_.between(1, 2 * options_.between_transactions_ms) * kMs, [this] {
    if (!works_) return;
    if (random_.one_in(5)) send();
    begin(identity_.database != nullptr && random_.chance(options_.id_of_caller));
    if (alive()) work_now_and_then();
  });
}

void SdkProducer::send() {
  Workload::Half message = around_.workload.message(name(), wall_.at(world()));
  const test::CallId call = around_.observer.next_call();
  open_sends_.insert(call);
  around_.observer.add(
      name(),
      test::SendInvoked{.call = call,
                        .topic = message.topic,
                        .content = content_of(MessageBlock::parse(message.block).value().body())});
  sends_->add({std::move(message.topic), std::move(message.block),
               boot_ms() + options_.call_timeout_ms,
               [this, call](Result<SendReceipt>&& result) { sent(call, result); }});
  pump();
}

void SdkProducer::sent(test::CallId call, const Result<SendReceipt>& result) {
  open_sends_.erase(call);
  if (result) {
    around_.observer.add(name(), test::SendOk{call, result->queue.value, result->offset.value,
                                              result->id.lsn.value});
  } else if (outcome(result.error().code) == Outcome::kUnknown) {
    around_.observer.add(name(), test::Unanswered{call});
  } else {
    around_.observer.add(name(), test::Failed{.call = call, .code = result.error().code});
  }
}

void SdkProducer::end_link(bool told) {
  link_->end(told);
  for (const test::CallId call : open_sends_) around_.observer.add(name(), test::Unanswered{call});
  open_sends_.clear();
}

void SdkProducer::end() {
  if (link_ != nullptr) end_link(true);
}

void SdkProducer::begin(bool id_of_caller) {
  const TransactionKey key(++keys_);
  BeginTransaction begin;
  begin.id = id_of_caller ? around_.workload.shared_id(identity_.group)
                          : around_.workload.fresh_id(identity_.group);
  begin.id_of_caller = id_of_caller;
  for (Workload::Half& half : Workload::halves(begin.id, wall_.at(world()))) {
    begin.halves.push_back({std::move(half.topic), std::move(half.block)});
  }
  begin.timeout_ms = options_.call_timeout_ms;
  if (identity_.database != nullptr) {
    begin.store = identity_.database->store();
    identity_.database->expect(begin.id);
  } else {
    identity_.listener->expect(begin.id);
  }
  world().trace(name(), "begins ", begin.id);
  calls_[key] = {.id = begin.id, .id_of_caller = id_of_caller};
  if (fate(Step::kBeforePrepare)) return;
  core_->begin(boot_ms(), key, std::move(begin));
  pump();
}

void SdkProducer::pump() {
  const std::shared_ptr<ProducerCore> core = core_;
  for (const ProducerAction& action : core->take_actions()) {
    std::visit([this](const auto& one) { perform(one); }, action);
    if (core_ != core) return;  // it died
  }
  pump_sends();
  arm_timer();
}

void SdkProducer::pump_sends() {
  std::vector<Sends::Ended> all;
  sends_->take_ended(all);
  for (Sends::Ended& ended : all) ended.callback(std::move(ended.result));
  while (const auto asked = sends_->next(boot_ms())) {
    ask<SendResponse>(asked->request, asked->block, asked->timeout_ms,
                      [this, sequence = asked->request.sequence](auto&& answer) {
                        sends_->answered(boot_ms(), sequence, std::move(answer));
                      });
  }
}

void SdkProducer::arm_timer() {
  const std::int64_t next_ms = std::min(core_->next_tick_ms(), sends_->next_tick_ms());
  if (next_ms >= timer_ms_) return;
  timer_ms_ = next_ms;
  after(std::max<std::int64_t>(next_ms - boot_ms(), 0) * kMs, [this] {
    timer_ms_ = ProducerCore::kNever;
    core_->tick(boot_ms());
    sends_->tick(boot_ms());
    pump();
  });
}

template <typename Response, typename Then>
void SdkProducer::ask(Request request, std::string_view block, std::int64_t timeout_ms, Then then) {
  link_->ask(request, block, timeout_ms, [this, then](Result<net::Answer>&& answer) {
    then(response_in<Response>(std::move(answer)));
    if (core_ != nullptr) pump();
  });
}

void SdkProducer::perform(const action::AskPrepare& asked) {
  ask<PrepareResponse>(asked.request, asked.block, asked.timeout_ms,
                       [this, key = asked.key, message = asked.message](auto&& answer) {
                         core_->prepare_answered(boot_ms(), key, message, answer);
                       });
}

void SdkProducer::perform(const action::AskShow& asked) {
  ask<ShowTransactionResponse>(
      ShowTransactionRequest{asked.id}, {}, asked.timeout_ms,
      [this, key = asked.key](auto&& answer) { core_->show_answered(boot_ms(), key, answer); });
}

void SdkProducer::perform(const action::AskEnd& asked) {
  ask<EndResponse>(asked.request, {}, asked.timeout_ms, [this, key = asked.key](auto&& answer) {
    core_->end_answered(boot_ms(), key, answer);
  });
  if (core_ != nullptr) fate(Step::kAfterEnd);
}

void SdkProducer::perform(const action::AskRegister& asked) {
  ask<RegisterCheckerResponse>(asked.request, {}, kRegisterTimeoutMs, [this](auto&& answer) {
    core_->register_answered(boot_ms(), answer);
  });
}

void SdkProducer::perform(const action::AskAnswerCheck& asked) {
  around_.watch.check_answered(asked.request.transaction, asked.request.decision);
  ask<AnswerCheckResponse>(asked.request, {}, limits::kCheckAnswerMs, [](auto&&) {});
}

void SdkProducer::perform(const action::RunLocal& run) {
  Call& call = calls_.at(run.key);
  call.handle = run.handle;
  call.deadline_ms = run.deadline_ms;
  call.at = Step::kAfterHalf;
  if (fate(Step::kAfterHalf)) return;
  // The caller's thread wakes up, sooner or later.
  const bool later = options_.leans_to(Race::kOldInstanceReturns) && random_.one_in(4);
  after(later ? random_.between(0, 4'000) * kMs : random_.between(5, 500),
        [this, key = run.key] { run_local(key); });
}

void SdkProducer::perform(const action::Refuse& refuse) {
  const auto call = calls_.find(refuse.key);
  if (call == calls_.end()) return;
  if (!refuse.result) {
    world().trace(name(), "gives up ", call->second.id, ": ", to_string(refuse.result.error()));
    if (!call->second.id_of_caller) around_.watch.gave_up(call->second.id);
  }
  calls_.erase(call);
}

// --- barrier rows that nobody needs any more ---

void SdkProducer::perform(const action::ListBarrier& list) {
  after(random_.between(100, 5'000), [this, query = list.query] {
    core_->barrier_listed(boot_ms(), identity_.database->barrier_rows(query));
    pump();
  });
}

void SdkProducer::perform(const action::AskFindFinal& asked) {
  ask<FindFinalResponse>(asked.request, {}, kFindFinalTimeoutMs,
                         [this](auto&& answer) { core_->finality_answered(boot_ms(), answer); });
}

void SdkProducer::perform(const action::ForgetRows& forget) {
  after(random_.between(100, 5'000), [this, forget] {
    identity_.database->forget(forget.transactions, forget.before_ms);
    core_->barrier_forgotten(boot_ms(), Result<void>());
    pump();
  });
}

void SdkProducer::perform(const action::Log& line) { world().trace(name(), "logs: ", line.text); }

}  // namespace tally::simulation
