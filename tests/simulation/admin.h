#pragma once
// Operators: they make the topics, settle transactions by hand, resume what was parked, and at the end ask for everything.

#include <memory>
#include <set>
#include <string>

#include "tests/simulation/client_link.h"

namespace tally::simulation {

class Admin final : public Process {
 public:
  Admin(World& world, const ClientLink::Surroundings& surroundings);

  void switch_on();
  /// From here on transactions are only resumed, again and again, and what is not at its end yet is looked for.
  void heal();
  /// What that was lately, for people; empty: nothing.
  const std::string& what_is_open() const { return open_; }
  /// Asks for all transactions, page by page; each is noted in the history.
  void list_all();
  bool listed() const { return listed_; }
  /// The run is over: requests that fly stay unanswered.
  void end();

 private:
  using Then = std::function<void(const ListTransactionsResponse*)>;
  /// One page, each transaction noted in the history as of `call`; null: no answer came.
  void list(const ListTransactionsRequest& request, test::CallId call, Then then);
  void list_open(TransactionState state, std::uint32_t most, Then then);
  void manage(const TransactionInfo& t, TransactionAction action);
  void set_up(std::size_t number);
  void meddle_now_and_then();
  void meddle_with(const TransactionInfo& transaction);
  void look_around();
  void look_at_transactions(TransactionState state);
  void look_at_groups();
  void list_after(const std::string& id, test::CallId call);
  void list_lost();

  const ClientLink::Surroundings around_;
  Random random_;
  std::shared_ptr<ClientLink> link_{};
  bool works_ = true;
  std::string seen_{}, open_ = "nobody has looked yet";
  bool listed_ = false;
  std::set<test::CallId> lists_{};  ///< of open transactions, under way
};

}  // namespace tally::simulation
