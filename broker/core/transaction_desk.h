#pragma once
// Requests about transactions, and the records that decide them.
//
// Admission answers at once what no record can change any more: a transaction that has nothing in flight is judged by the
// same rules that apply uses. Otherwise the request becomes a record and apply judges it. Ids that are not in memory are
// looked up first; requests for them wait in their order. So do ENDs while one of the same transaction is in flight: the
// room that is reserved for its END is used once. Owned by the core; one thread.

#include <functional>
#include <unordered_map>
#include <vector>

#include "broker/core/checkers.h"

namespace tally::broker {

/// Transactions of FindFinal that are looked up at once; what is beyond them is OVERLOADED.
inline constexpr std::size_t kFindingMax = 16 * limits::kFindFinalMax;

class TransactionDesk {
 public:
  TransactionDesk(Context& context, Topics& topics, ProducerGroups& producer_groups,
                  Transactions& transactions, Checkers& checkers, Sessions& sessions)
      : context_(context),
        topics_(topics),
        producer_groups_(producer_groups),
        transactions_(transactions),
        checkers_(checkers),
        sessions_(sessions) {}

  void admit_prepare(const Waiter& waiter, Command& command, const store::Keepalive& bytes);
  void admit_end(const Waiter& waiter, Command& command);
  void admit_answer(const Waiter& waiter, Command& command);
  void admit_manage(const Waiter& waiter, const ManageTransactionRequest& request);
  void admit_show(const Waiter& waiter, const ShowTransactionRequest& request);
  void admit_list(const Waiter& waiter, ListTransactionsRequest&& request);
  void admit_find_final(const Waiter& waiter, const FindFinalRequest& request);
  /// Admits what waited for an END that is applied by now. To be called at the end of each batch.
  void flush();

  // Each says whether the record made sense. `index` is where replay looks up decided transactions; null when serving.
  Result<bool> apply_half(const Applying& applying, const store::IndexView* index);
  bool apply_end(const Applying& applying);
  bool apply_check_delivered(const Applying& applying);
  bool apply_check_answered(const Applying& applying);
  bool apply_park(const Applying& applying);
  bool apply_resume(const Applying& applying);

 private:
  enum class LookedUp : bool { kNo, kYes };
  struct Delayed {
    Command command{};
    store::Keepalive bytes{};
  };
  struct HalfQuestion {
    std::string_view group{};
    TopicUid topic{};
    std::uint32_t number = 0;
    std::uint64_t digest = 0;
    std::uint64_t block_bytes = 0;
    bool later = false;  ///< its transaction was known, or under way, when it was admitted
  };
  void prepare(const Waiter& waiter, Command& command, const store::Keepalive& bytes,
               LookedUp looked_up);
  void end(const Waiter& waiter, Command& command, LookedUp looked_up);
  void look_up(std::string_view id, Command& command, const store::Keepalive& bytes);
  void looked_up(const std::string& id, StoredPairs&& found);
  void delay(Transaction& transaction, Command& command, const store::Keepalive& bytes);
  void resume_delayed(const std::string& id, LookedUp looked_up);
  bool reserves_end(const Waiter& waiter, const Transaction* transaction,
                    const PrepareRequest& request);
  void propose_end(const Waiter& waiter, Transaction& transaction, store::EndExtension& end);

  static TxEvent event_of(const Transaction& transaction, const HalfQuestion& half);
  TxEvent event_of(const Transaction* transaction, const store::EndExtension& end) const;
  void answer_half(const Waiter& waiter, const Transaction& transaction, TxAnswer answer);
  void answer_end(const Waiter& waiter, const Transaction* transaction, TxAnswer answer,
                  std::string_view id);
  Error error_for(const Transaction* transaction, TxAnswer answer, std::string_view id) const;
  void store_half(Transaction& transaction, const store::HalfExtension& half,
                  const Applying& applying);
  void decide(Transaction& transaction, const store::EndExtension& end, const Applying& applying);
  void unpin_if_serving(Transaction& transaction);
  /// Writes an answer to the newest check of `client` that has none.
  static void answered(Transaction& transaction, std::string_view client, Decision answer,
                       std::string_view reason, std::int64_t time_ms);
  void finish_managed(const Applying& applying, Transaction& transaction, TxAnswer answer);
  void answer_managed(const Waiter& waiter, Transaction& transaction, std::uint32_t checkers);
  /// Finds it in memory, else in the index; null when it is nowhere.
  void find_known(const std::string& id, std::function<void(const Transaction*)> then);
  /// The same. NOT_FOUND_OR_EXPIRED when it is nowhere.
  void with_known(const Waiter& waiter, const std::string& id,
                  std::function<void(const Transaction&)> then);

  TransactionInfo info(const Transaction& transaction) const;
  struct Listing;
  void finish_listing(Listing& listing);

  Context& context_;
  Topics& topics_;
  ProducerGroups& producer_groups_;
  Transactions& transactions_;
  Checkers& checkers_;
  Sessions& sessions_;
  std::unordered_map<std::string, std::vector<Delayed>> delayed_{};
  std::vector<std::string> ended_{};  ///< ids whose delayed requests can go on
  std::size_t finding_ = 0;           ///< transactions of FindFinal that are being looked up
};

}  // namespace tally::broker
