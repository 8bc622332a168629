#pragma once
// Check-back: asks producers what became of their open transactions.
//
// A timer per transaction; when it is due the transaction queues up for the checkers of its producer group and store. At
// most kChecksPerSession questions are outstanding per session, one per transaction, so that neither a restart with a
// million open transactions nor one that never gets an answer disturbs the others. Nobody there: it waits, uncounted.
// All state here is volatile; what counts is the logged CheckDelivered. Owned by the core; one thread.

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/core/producer_groups.h"
#include "broker/core/sessions.h"

namespace tally::broker {

inline constexpr std::size_t kChecksPerSession = 64;

class Checkers {
 public:
  Checkers(Context& context, const ProducerGroups& producer_groups, Transactions& transactions,
           Sessions& sessions)
      : context_(context),
        producer_groups_(producer_groups),
        transactions_(transactions),
        sessions_(sessions) {}

  /// Sets the timers of all open transactions from durable facts.
  void start();
  void admit_register(const Waiter& waiter, RegisterCheckerRequest&& request);
  void session_closed(SessionId id, Session& session);
  /// The client has the question: from now on it counts.
  void received(SessionId session, std::uint64_t challenge);
  /// Whether this is the answer to the check asked last; then it is no longer outstanding.
  bool take_answer(Transaction& transaction, SessionId session, std::uint64_t challenge);
  /// Its timer fired.
  void due(Transaction& transaction);
  /// After any change of a transaction: sets its timer, or forgets it when it is decided.
  void update(Transaction& transaction);
  /// No more checks by themselves; one that is outstanding may still be answered.
  void stop(Transaction& transaction);
  /// Asks about an open transaction now, or as soon as somebody is there; how many are.
  std::uint32_t ask_now(Transaction& transaction);
  /// Sessions that could be asked.
  std::uint32_t online(const Transaction& transaction) const;
  /// Transactions that are due, with nobody to ask.
  std::uint64_t waiting_in_vain() const;
  /// Asks what freed credits allow. To be called at the end of each batch.
  void flush();
  /// When the next check is due by the durable facts; 0 when there will be none.
  std::int64_t next_check_at_ms(const Transaction& transaction) const;

 private:
  struct Pool {
    std::vector<SessionId> sessions{};
    std::size_t turn = 0;
    HookList waiting{};
    std::size_t waiting_count = 0;
  };
  static std::string pool_key(std::string_view group, const StoreId& store);
  void unregister(SessionId id, std::string_view group, const std::vector<StoreId>& stores);
  void drop_if_empty(const std::string& key);
  void pump(Pool& pool);
  SessionId choose(Pool& pool, const Transaction& transaction);
  bool has_credit(SessionId session) const;
  void ask(Transaction& transaction, SessionId session);
  void give_up(Transaction& transaction);
  /// A check was received.
  void count(Transaction& transaction, std::string_view client);
  void unlink(Transaction& transaction);
  void wait(Transaction& transaction);
  /// When its timer has something to do by the durable facts: ask, or end the asking.
  std::int64_t due_at_ms(const Transaction& transaction) const;
  bool used_up(const Transaction& transaction) const;
  /// Its checks are used up: parks it, or rolls it back where its settings say so.
  void use_up(Transaction& transaction);

  Context& context_;
  const ProducerGroups& producer_groups_;
  Transactions& transactions_;
  Sessions& sessions_;
  TextMap<Pool> pools_{};
  std::unordered_map<std::uint64_t, Transaction*> by_challenge_{};
  std::vector<SessionId> freed_{};
  std::uint64_t challenges_ = 0;
};

}  // namespace tally::broker
