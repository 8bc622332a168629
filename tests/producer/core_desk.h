#pragma once
// A ProducerCore on a test's desk, and the values that its tests share.

#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "producer-sdk/producer_core.h"

namespace tally::testing {

inline constexpr std::int64_t kLifetimeMs = 60'000;

inline StoreId orders_store() {
  StoreId store;
  store.bytes[0] = 1;
  return store;
}

inline Handle half(std::uint64_t lsn) {
  Handle handle;
  handle.log.bytes[0] = 9;
  handle.lsn = Lsn(lsn);
  handle.time_ms = 1'000'000;
  return handle;
}

inline PrepareResponse stored(const Handle& handle = half(1)) {
  return {.handle = handle, .expires_at_ms = handle.time_ms + kLifetimeMs};
}

inline ShowTransactionResponse shown(TransactionState state) {
  ShowTransactionResponse response;
  response.transaction.state = state;
  return response;
}

inline EndResponse ended(TransactionState state) { return {.result = {.state = state}}; }

inline LocalOutcome outcome(LocalOutcome::Kind kind, bool other_half = false) {
  LocalOutcome result{.kind = kind};
  result.other_half = other_half;
  return result;
}

inline CheckRequest check_of(std::string id, std::int64_t expires_in_ms,
                             StoreId store = orders_store()) {
  return {.transaction = std::move(id),
          .group = "orders",
          .store = store,
          .handle = half(1),
          .challenge = 77,
          .expires_in_ms = expires_in_ms};
}

inline const Error kCutOff(ErrorCode::kDisconnected, "the connection broke");

/// The core with its actions in a list, from which a test takes what it expects.
struct Desk {
  explicit Desk(std::uint32_t transactions_max = 10) : core({"orders", transactions_max}) {}

  template <typename Action>
  std::optional<Action> find() {
    for (auto& action : core.take_actions()) actions.push_back(std::move(action));
    for (auto at = actions.begin(); at != actions.end(); ++at) {
      if (auto* found = std::get_if<Action>(&*at)) {
        Action taken = std::move(*found);
        actions.erase(at);
        return taken;
      }
    }
    return std::nullopt;
  }
  template <typename Action>
  Action take() {
    auto found = find<Action>();
    REQUIRE(found.has_value());
    return *std::move(found);
  }
  template <typename Action>
  bool none() {
    return !find<Action>().has_value();
  }

  void begin(TransactionKey key, std::size_t halves = 1, bool id_of_caller = false,
             StoreId store = orders_store()) {
    BeginTransaction begin;
    begin.id = "tx";
    begin.id_of_caller = id_of_caller;
    begin.store = store;
    begin.halves.resize(halves, {"order.created", "block"});
    begin.timeout_ms = 10'000;
    core.begin(now, key, std::move(begin));
  }
  /// A transaction whose local work runs.
  action::RunLocal run(TransactionKey key, StoreId store = orders_store()) {
    begin(key, 1, false, store);
    take<action::AskPrepare>();
    core.prepare_answered(now, key, 1, stored());
    return take<action::RunLocal>();
  }

  ProducerCore core;
  std::vector<ProducerAction> actions{};
  std::int64_t now = 5'000;
};

inline const TransactionKey kOne(1);
inline const TransactionKey kTwo(2);

}  // namespace tally::testing
