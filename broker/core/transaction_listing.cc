// Showing and listing transactions: what the index holds, corrected by what memory knows better.

#include <algorithm>
#include <map>
#include <memory>

#include "broker/core/index_keys.h"
#include "broker/core/transaction_desk.h"
#include "protocol/base/check.h"

namespace tally::broker {

/// A page under way: it waits for one scan of open and one of decided transactions.
struct TransactionDesk::Listing {
  Waiter waiter{};
  ListTransactionsRequest request{};
  std::uint32_t limit = 0;
  int scans = 0;
  StoredPairs open{}, decided{};

  std::int64_t prepared_until_ms = INT64_MAX;

  bool wants(TxState state) const {
    return state != TxState::kNone &&
           (request.state == 0 || request.state == static_cast<std::uint32_t>(state));
  }
  bool wants(const Transaction& transaction) const {
    return wants(transaction.state) && transaction.time_ms <= prepared_until_ms &&
           (request.group.empty() || request.group == transaction.group());
  }
};

TransactionInfo TransactionDesk::info(const Transaction& transaction) const {
  TransactionInfo info{.id = std::string(transaction.id()),
                       .group = std::string(transaction.group()),
                       .client = std::string(transaction.client()),
                       .store = is_open(transaction.state) ? transaction.store() : StoreId{},
                       .state = public_state(transaction.state),
                       .topics = {},
                       .messages = static_cast<std::uint32_t>(transaction.halves.size()),
                       .handle = transaction.handle(context_.log),
                       .next_check_at_ms = checkers_.next_check_at_ms(transaction),
                       .expires_at_ms = transaction.time_ms + transaction.lifetime_ms,
                       .checks = transaction.checks,
                       .decided_by = transaction.decided_by,
                       .decided_at_ms = transaction.decided_at_ms,
                       .decided_by_client = std::string(transaction.decided_by_client()),
                       .reason = std::string(transaction.reason()),
                       .check_records = {}};
  if (transaction.history) info.check_records = transaction.history->checks;
  std::map<std::uint32_t, std::string> topics;
  for (const Half& half : transaction.halves) {
    // Of a decided one the numbers are not kept; its halves stand in their order.
    const auto number =
        is_open(transaction.state) ? half.number : static_cast<std::uint32_t>(topics.size());
    topics[number] = topics_.find(half.topic)->name;
  }
  for (auto& [number, topic] : topics) info.topics.push_back(std::move(topic));
  return info;
}

void TransactionDesk::find_known(const std::string& id,
                                 std::function<void(const Transaction*)> then) {
  const Transaction* resident = transactions_.find(id);
  if (resident != nullptr && resident->state != TxState::kNone) return then(resident);
  context_.loads.get(
      keys::transaction(context_.shard, keys::Kind::kDecided, id),
      [this, id, then = std::move(then)](StoredPairs&& found) {
        Transaction decoded;
        const Transaction* known = transactions_.find(id);
        if (known == nullptr || known->state == TxState::kNone) {
          if (!found.empty()) {
            TALLY_CHECK(transactions_.read_decided(id, found.front().second, decoded));
          }
          known = &decoded;
        }
        then(known->state != TxState::kNone ? known : nullptr);
      });
}

void TransactionDesk::with_known(const Waiter& waiter, const std::string& id,
                                 std::function<void(const Transaction&)> then) {
  find_known(id, [this, waiter, id, then = std::move(then)](const Transaction* known) {
    if (known != nullptr) return then(*known);
    context_.answer(waiter, error_for(nullptr, TxAnswer::kNotFound, id));
  });
}

void TransactionDesk::admit_show(const Waiter& waiter, const ShowTransactionRequest& request) {
  with_known(waiter, request.transaction, [this, waiter](const Transaction& known) {
    context_.answer(waiter, Response(ShowTransactionResponse{
                                .transaction = info(known),
                                .checkers = is_open(known.state) ? checkers_.online(known) : 0}));
  });
}

void TransactionDesk::admit_list(const Waiter& waiter, ListTransactionsRequest&& request) {
  auto listing = std::make_shared<Listing>();
  listing->waiter = waiter;
  listing->limit =
      request.limit != 0 ? std::min(request.limit, limits::kListPageMax) : limits::kListPageMax;
  listing->request = std::move(request);
  if (listing->request.older_than_ms > 0) {
    listing->prepared_until_ms = context_.now_ms() - listing->request.older_than_ms;
  }
  const auto scan = [&](keys::Kind kind, StoredPairs Listing::*to) {
    ++listing->scans;
    std::string from = keys::prefix(context_.shard, kind);
    if (const std::string& after = listing->request.after; !after.empty()) {
      from = keys::transaction(context_.shard, kind, after);
      from.push_back('\0');  // the first key behind it
    }
    context_.loads.scan(std::move(from), keys::prefix_end(context_.shard, kind), listing->limit + 1,
                        [this, listing, to](StoredPairs&& found) {
                          (*listing).*to = std::move(found);
                          if (--listing->scans == 0) finish_listing(*listing);
                        });
  };
  const bool open = listing->wants(TxState::kPending) || listing->wants(TxState::kParked);
  const bool decided = listing->wants(TxState::kCommitted) || listing->wants(TxState::kRolledBack);
  if (open) scan(keys::Kind::kOpen, &Listing::open);
  if (decided) scan(keys::Kind::kDecided, &Listing::decided);
  if (!open && !decided) context_.answer(waiter, Response(ListTransactionsResponse{}));
}

void TransactionDesk::finish_listing(Listing& listing) {
  // Ids are compared as they sort in the index. Up to `bound` nothing is missing; empty: nothing is missing at all.
  const std::string after = keys::id_form(listing.request.after);
  std::string bound;
  for (const StoredPairs* pairs : {&listing.open, &listing.decided}) {
    if (pairs->size() <= listing.limit) continue;
    const std::string_view last = keys::KeyReader(pairs->back().first).rest();
    if (bound.empty() || last < bound) bound = last;
  }
  const auto covered = [&](std::string_view form) {
    return (listing.request.after.empty() || form > after) && (bound.empty() || form <= bound);
  };

  std::map<std::string, TransactionInfo, std::less<>> page;
  const auto add = [&](std::string_view form, const Transaction& transaction) {
    if (listing.wants(transaction)) {
      page.insert_or_assign(std::string(form), info(transaction));
    }
  };
  const auto add_rows = [&](const StoredPairs& rows, bool decided) {
    for (const auto& [key, row] : rows) {
      const std::string_view form = keys::KeyReader(key).rest();
      if (!covered(form)) continue;
      const auto id = keys::id_of_form(form);
      TALLY_CHECK(id.has_value());
      const Transaction* resident = transactions_.find(*id);
      if (resident != nullptr && resident->state != TxState::kNone) {
        add(form, *resident);
      } else if (
          decided) {  // an open one that is not resident was decided, and even forgotten, since
        Transaction decoded;
        TALLY_CHECK(transactions_.read_decided(*id, row, decoded));
        add(form, decoded);
      }
    }
  };
  add_rows(listing.open, false);
  add_rows(listing.decided, true);

  std::vector<std::pair<std::string, const Transaction*>> unsaved;
  transactions_.for_each_unsaved([&](const Transaction& transaction) {
    if (!listing.wants(transaction)) return;
    std::string form = keys::id_form(transaction.id());
    if (covered(form)) unsaved.emplace_back(std::move(form), &transaction);
  });
  const std::size_t most = std::size_t{listing.limit} + 1;
  if (unsaved.size() > most) {
    std::nth_element(unsaved.begin(), unsaved.begin() + listing.limit, unsaved.end());
    unsaved.resize(most);
  }
  for (const auto& [form, transaction] : unsaved) add(form, *transaction);

  ListTransactionsResponse response;
  for (auto& [form, transaction] : page) {
    if (response.transactions.size() == listing.limit) {
      bound = keys::id_form(response.transactions.back().id);
      break;
    }
    response.transactions.push_back(std::move(transaction));
  }
  response.more = !bound.empty();
  if (response.more) response.next_after = keys::id_of_form(bound).value_or(std::string());
  context_.answer(listing.waiter, Response(std::move(response)));
}

}  // namespace tally::broker
