// Which transactions are final, so that nobody needs to remember them for the broker.

#include <memory>

#include "broker/core/transaction_desk.h"
#include "protocol/base/limits.h"

namespace tally::broker {
namespace {

/// What waits for look-ups in the index.
struct Finding {
  Waiter waiter{};
  FindFinalResponse response{};
  std::size_t left = 0;
};

Finality finality_of(const Transaction* known, const Context& context) {
  if (known == nullptr) return Finality::kUnknown;
  // Local work that may still begin to commit needs the tombstone that it is to find.
  const bool over =
      context.lifetime_left_ms(known->time_ms, known->lifetime_ms) + limits::kBarrierMarginMs <= 0;
  return is_decided(known->state) && over ? Finality::kFinal : Finality::kOpen;
}

}  // namespace

void TransactionDesk::admit_find_final(const Waiter& waiter, const FindFinalRequest& request) {
  if (finding_ + request.transactions.size() > kFindingMax) {
    return context_.refuse(waiter, ErrorCode::kOverloaded,
                           "finality is asked of too many transactions at once");
  }
  finding_ += request.transactions.size();
  auto finding = std::make_shared<Finding>();
  finding->waiter = waiter;
  finding->left = request.transactions.size();
  finding->response.finality.resize(finding->left);
  // Taken first: what is decided before it stays unknown, however long the look-ups take.
  finding->response.known_since_ms = context_.horizon_ms;
  for (std::size_t i = 0; i < request.transactions.size(); ++i) {
    find_known(request.transactions[i], [this, finding, i](const Transaction* known) {
      finding->response.finality[i] = finality_of(known, context_);
      --finding_;
      if (--finding->left > 0) return;
      context_.answer(finding->waiter, Response(std::move(finding->response)));
    });
  }
}

}  // namespace tally::broker
