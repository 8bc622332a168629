#include "tests/simulation/admin.h"

#include "tests/simulation/workload.h"

namespace tally::simulation {
namespace {

constexpr std::int64_t kTimeoutMs = 2'000;
constexpr std::int64_t kMeddleMs = 500;
constexpr std::int64_t kLookMs = 250;

/// Everything that has to be there before work begins.
std::vector<Request> settings() {
  std::vector<Request> all;
  for (const Workload::Topic& topic : Workload::topics()) {
    all.emplace_back(CreateTopicRequest{.topic = topic.name, .queues = topic.queues});
  }
  all.emplace_back(SetProducerGroupRequest{
      {.name = Workload::kRolledBackGroup, .checks = {.on_budget = OnBudget::kRollback}}});
  return all;
}

}  // namespace

Admin::Admin(World& world, const ClientLink::Surroundings& surroundings)
    : Process(world, "admin"), around_(surroundings), random_(world.random().fork()) {}

void Admin::switch_on() {
  begin_life();
  link_ = std::make_shared<ClientLink>(*this, name(), around_, net::Client::Callbacks{}, name());
  link_->start();
  for (std::size_t i = 0; i < settings().size(); ++i) set_up(i);
  meddle_now_and_then();
}

void Admin::heal() {
  works_ = false;
  look_around();
}

void Admin::end() {
  for (const test::CallId call : lists_) around_.observer.add(name(), test::Unanswered{call});
  link_->end(true);
}

void Admin::set_up(std::size_t number) {
  link_->ask(settings()[number], {}, kTimeoutMs, [this, number](Result<net::Answer>&& answer) {
    if (!answer) after(50 * kMs, [this, number] { set_up(number); });
  });
}

void Admin::list(const ListTransactionsRequest& request, test::CallId call, Then then) {
  link_->ask(
      request, {}, kTimeoutMs, [this, call, then = std::move(then)](Result<net::Answer>&& answer) {
        if (!answer) return then(nullptr);
        const auto& page = std::get<ListTransactionsResponse>(answer->response);
        for (const TransactionInfo& t : page.transactions) {
          around_.observer.add(
              name(), test::TransactionSeen{.call = call,
                                            .transaction = around_.observer.name_of(t.id, t.handle),
                                            .state = t.state,
                                            .decided_by = t.decided_by,
                                            .decided_at_ms = t.decided_at_ms,
                                            .automatic = t.group == Workload::kRolledBackGroup,
                                            .reason = t.reason,
                                            .checks = t.checks});
        }
        then(&page);
      });
}

void Admin::list_open(TransactionState state, std::uint32_t most, Then then) {
  const test::CallId call = around_.observer.next_call();
  around_.observer.add(name(), test::OtherInvoked{call, "list open"});
  lists_.insert(call);
  list({.state = static_cast<std::uint32_t>(state), .limit = most}, call,
       [this, call, then = std::move(then)](const ListTransactionsResponse* page) {
         lists_.erase(call);
         around_.observer.add(name(), page != nullptr ? test::EventBody(test::OtherOk{call})
                                                      : test::Unanswered{call});
         then(page);
       });
}

void Admin::manage(const TransactionInfo& t, TransactionAction action) {
  around_.observer.add(name(), test::Managed{around_.observer.name_of(t.id, t.handle)});
  link_->ask(ManageTransactionRequest{.transaction = t.id, .action = action}, {}, kTimeoutMs,
             [](Result<net::Answer>&&) {});
}

// --- by hand ---

void Admin::meddle_now_and_then() {
  after(random_.between(1, 2 * kMeddleMs) * kMs, [this] {
    if (!works_) return;
    meddle_now_and_then();
    const TransactionState state =
        random_.one_in(2) ? TransactionState::kPending : TransactionState::kParked;
    list_open(state, 8, [this](const ListTransactionsResponse* page) {
      if (page == nullptr || page->transactions.empty()) return;
      meddle_with(page->transactions[random_.below(page->transactions.size())]);
    });
  });
}

void Admin::meddle_with(const TransactionInfo& transaction) {
  // An operator names an id and no half, so that nobody could say which of two namesakes he meant.
  if (transaction.group == Workload::kNamesakesGroup) return;
  const std::uint64_t choice = random_.below(8);
  if (choice < 2) {
    const Decision decision = choice == 0 ? Decision::kCommit : Decision::kRollback;
    return link_->ask(EndRequest{.transaction = transaction.id,
                                 .decision = decision,
                                 .by_operator = true,
                                 .reason = "by hand"},
                      {}, kTimeoutMs, [](Result<net::Answer>&&) {});
  }
  manage(transaction, choice < 4   ? TransactionAction::kCheck
                      : choice < 6 ? TransactionAction::kPark
                                   : TransactionAction::kResume);
}

// --- what is left ---

void Admin::look_around() {
  seen_.clear();
  look_at_transactions(TransactionState::kPending);
}

void Admin::look_at_transactions(TransactionState state) {
  list_open(state, 100, [this, state](const ListTransactionsResponse* page) {
    if (page == nullptr) return look_around();
    for (const TransactionInfo& t : page->transactions) {
      seen_.append(t.id).append(" is ").append(tally::name(t.state)).append("; ");
      if (state == TransactionState::kParked) manage(t, TransactionAction::kResume);
    }
    if (state == TransactionState::kParked) return look_at_groups();
    look_at_transactions(TransactionState::kParked);
  });
}

void Admin::look_at_groups() {
  link_->ask(ListGroupsRequest{}, {}, kTimeoutMs, [this](Result<net::Answer>&& answer) {
    if (!answer) return look_around();
    for (const GroupInfo& group : std::get<ListGroupsResponse>(answer->response).groups) {
      for (const GroupQueueInfo& queue : group.queues) {
        if (queue.unsettled == 0) continue;
        seen_.append(std::to_string(queue.unsettled)).append(" messages of ");
        seen_.append(queue.topic).append(" are not settled by ").append(group.name).append("; ");
      }
    }
    open_ = seen_;
    after(kLookMs * kMs, [this] { look_around(); });
  });
}

// --- everything ---

void Admin::list_all() {
  const test::CallId call = around_.observer.next_call();
  around_.observer.add(name(), test::OtherInvoked{call, "list", true});
  for (const auto& [transaction, winner] : around_.observer.replaced()) {
    around_.observer.add(name(), test::TransactionSeen{.call = call,
                                                       .transaction = transaction,
                                                       .state = winner.state,
                                                       .decided_by = winner.decided_by,
                                                       .decided_at_ms = winner.decided_at_ms});
  }
  list_after({}, call);
}

void Admin::list_after(const std::string& id, test::CallId call) {
  list({.after = id}, call, [this, id, call](const ListTransactionsResponse* page) {
    if (page == nullptr) return list_after(id, call);
    if (page->more) return list_after(page->next_after, call);
    around_.observer.add(name(), test::OtherOk{call});
    list_lost();
  });
}

void Admin::list_lost() {
  link_->ask(ListGroupsRequest{}, {}, kTimeoutMs, [this](Result<net::Answer>&& answer) {
    if (!answer) return list_lost();
    for (const GroupInfo& group : std::get<ListGroupsResponse>(answer->response).groups) {
      for (const GroupQueueInfo& queue : group.queues) {
        around_.observer.add(name(), test::LostCount{.group = group.name,
                                                     .topic = queue.topic,
                                                     .queue = queue.queue.value,
                                                     .lost = queue.lost});
      }
    }
    listed_ = true;
  });
}

}  // namespace tally::simulation
