#pragma once
// What happens to a transaction: one table of every state and every event.
//
// Admission and apply both ask this table. The event says everything about the request that matters (does the group own the
// transaction, is the content the same, is it complete), so a row needs no further condition. Pure functions, any thread.

#include <array>
#include <cstdint>
#include <optional>
#include <tally/error.hpp>

#include "protocol/base/seeded_bug.h"

namespace tally::broker {

enum class TxState : std::uint8_t { kNone, kPending, kParked, kCommitted, kRolledBack };
inline constexpr std::size_t kTxStates = 5;

enum class TxEvent : std::uint8_t {
  kPrepareNew,      ///< a half whose number is not stored
  kPrepareSame,     ///< a half that is stored, with the same content
  kPrepareOther,    ///< a half whose number is stored with other content
  kPrepareForeign,  ///< a half of another producer group
  kPrepareLater,  ///< a half of a transaction that was known when it was admitted, and is not any more
  kPrepareOversize,  ///< a new half beyond the limits of a transaction
  kCommit,
  kRollback,
  kEndIncomplete,   ///< END that names another number of messages than are stored
  kEndStaleHandle,  ///< END whose handle names another log or another half
  kEndExpired,      ///< END whose handle is older than the decisions that are known
  kEndForeign,      ///< END by another producer group
  kCheckDelivered,
  kPark,
  kResume,
};
inline constexpr std::size_t kTxEvents = 15;

enum class TxAnswer : std::uint8_t {
  kStored,
  kFirstAnswer,  ///< as it was answered the first time
  kDecided,
  kRepeated,  ///< decided before, the same way
  kCounted,
  kParked,
  kResumed,
  kIgnored,
  kIdReused,
  kIdTaken,
  kTooLarge,
  kEnded,
  kConflict,
  kAnotherHalf,  ///< a conflict about which the transaction at hand says nothing
  kExpired,
  kNotFound,
  kIncomplete,
  kNotOwner,
};
inline constexpr std::size_t kTxAnswers = 18;

struct TxRow {
  TxState state;
  TxEvent event;
  TxState next;
  TxAnswer answer;
};

/// In the order of states, then events.
extern const std::array<TxRow, kTxStates * kTxEvents> kTxRules;

inline const TxRow& rule(TxState state, TxEvent event) {
  const bool late = state == TxState::kRolledBack && event == TxEvent::kCommit;
  if (late && TALLY_SEEDED_BUG("commit_after_rollback_accepted")) state = TxState::kPending;
  return kTxRules[static_cast<std::size_t>(state) * kTxEvents + static_cast<std::size_t>(event)];
}

/// Nothing for answers that are a success.
std::optional<ErrorCode> error_of(TxAnswer answer);

inline bool is_open(TxState state) {
  return state == TxState::kPending || state == TxState::kParked;
}
inline bool is_decided(TxState state) {
  return state == TxState::kCommitted || state == TxState::kRolledBack;
}
/// For answers; not for kNone.
inline TransactionState public_state(TxState state) {
  return TransactionState(static_cast<int>(state));
}
static_assert(int(TxState::kPending) == int(TransactionState::kPending));
static_assert(int(TxState::kParked) == int(TransactionState::kParked));
static_assert(int(TxState::kCommitted) == int(TransactionState::kCommitted));
static_assert(int(TxState::kRolledBack) == int(TransactionState::kRolledBack));

}  // namespace tally::broker
