#include "broker/core/transaction_rules.h"

#include <catch2/catch.hpp>
#include <iostream>
#include <set>

namespace tally::broker {

TEST_CASE("the transaction rules have one row for each state and event") {
  std::set<std::pair<TxState, TxEvent>> pairs;
  for (const TxRow& row : kTxRules) {
    REQUIRE(pairs.emplace(row.state, row.event).second);
    REQUIRE(static_cast<std::size_t>(row.state) < kTxStates);
    REQUIRE(static_cast<std::size_t>(row.event) < kTxEvents);
    REQUIRE(&rule(row.state, row.event) == &row);
  }
  REQUIRE(static_cast<std::size_t>(TxState::kRolledBack) + 1 == kTxStates);
  REQUIRE(static_cast<std::size_t>(TxEvent::kResume) + 1 == kTxEvents);
  REQUIRE(static_cast<std::size_t>(TxAnswer::kNotOwner) + 1 == kTxAnswers);
  REQUIRE(pairs.size() == kTxStates * kTxEvents);
  std::cout << "transaction rules: " << kTxStates << " states × " << kTxEvents
            << " events = " << pairs.size() << " rows\n";
}

TEST_CASE("a decided transaction never changes and never succeeds the other way") {
  for (const TxRow& row : kTxRules) {
    if (is_decided(row.state)) REQUIRE(row.next == row.state);
  }
  REQUIRE(rule(TxState::kCommitted, TxEvent::kRollback).answer == TxAnswer::kConflict);
  REQUIRE(rule(TxState::kRolledBack, TxEvent::kCommit).answer == TxAnswer::kConflict);
}

TEST_CASE("only a stored half begins a transaction and only a decision ends it") {
  for (const TxRow& row : kTxRules) {
    const bool begins = row.state == TxState::kNone && row.next != TxState::kNone;
    if (begins) REQUIRE(row.answer == TxAnswer::kStored);
    const bool ends = !is_decided(row.state) && is_decided(row.next);
    REQUIRE(ends == (row.answer == TxAnswer::kDecided));
    if (row.next != row.state) REQUIRE_FALSE(error_of(row.answer).has_value());
  }
}

TEST_CASE("an end of an unknown transaction is never a success") {
  for (TxEvent event : {TxEvent::kCommit, TxEvent::kRollback, TxEvent::kEndIncomplete,
                        TxEvent::kEndStaleHandle, TxEvent::kEndExpired, TxEvent::kEndForeign}) {
    REQUIRE(error_of(rule(TxState::kNone, event).answer).has_value());
  }
}

TEST_CASE("a parked transaction accepts late ends and can be resumed") {
  REQUIRE(rule(TxState::kParked, TxEvent::kCommit).next == TxState::kCommitted);
  REQUIRE(rule(TxState::kParked, TxEvent::kRollback).next == TxState::kRolledBack);
  REQUIRE(rule(TxState::kParked, TxEvent::kResume).next == TxState::kPending);
}

}  // namespace tally::broker
