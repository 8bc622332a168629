#include "broker/core/transaction_rules.h"

namespace tally::broker {

using S = TxState;
using E = TxEvent;
using A = TxAnswer;

constexpr std::array<TxRow, kTxStates* kTxEvents> kTxRules = {{
    {S::kNone, E::kPrepareNew, S::kPending, A::kStored},
    {S::kNone, E::kPrepareSame, S::kPending, A::kStored},
    {S::kNone, E::kPrepareOther, S::kPending, A::kStored},
    {S::kNone, E::kPrepareForeign, S::kPending, A::kStored},
    {S::kNone, E::kPrepareLater, S::kNone, A::kNotFound},
    {S::kNone, E::kPrepareOversize, S::kNone, A::kTooLarge},
    {S::kNone, E::kCommit, S::kNone, A::kNotFound},
    {S::kNone, E::kRollback, S::kNone, A::kNotFound},
    {S::kNone, E::kEndIncomplete, S::kNone, A::kNotFound},
    {S::kNone, E::kEndStaleHandle, S::kNone, A::kAnotherHalf},
    {S::kNone, E::kEndExpired, S::kNone, A::kExpired},
    {S::kNone, E::kEndForeign, S::kNone, A::kNotFound},
    {S::kNone, E::kCheckDelivered, S::kNone, A::kIgnored},
    {S::kNone, E::kPark, S::kNone, A::kNotFound},
    {S::kNone, E::kResume, S::kNone, A::kNotFound},

    {S::kPending, E::kPrepareNew, S::kPending, A::kStored},
    {S::kPending, E::kPrepareSame, S::kPending, A::kFirstAnswer},
    {S::kPending, E::kPrepareOther, S::kPending, A::kIdReused},
    {S::kPending, E::kPrepareForeign, S::kPending, A::kIdTaken},
    {S::kPending, E::kPrepareLater, S::kPending, A::kStored},
    {S::kPending, E::kPrepareOversize, S::kPending, A::kTooLarge},
    {S::kPending, E::kCommit, S::kCommitted, A::kDecided},
    {S::kPending, E::kRollback, S::kRolledBack, A::kDecided},
    {S::kPending, E::kEndIncomplete, S::kPending, A::kIncomplete},
    {S::kPending, E::kEndStaleHandle, S::kPending, A::kAnotherHalf},
    {S::kPending, E::kEndExpired, S::kPending, A::kConflict},
    {S::kPending, E::kEndForeign, S::kPending, A::kNotOwner},
    {S::kPending, E::kCheckDelivered, S::kPending, A::kCounted},
    {S::kPending, E::kPark, S::kParked, A::kParked},
    {S::kPending, E::kResume, S::kPending, A::kIgnored},

    {S::kParked, E::kPrepareNew, S::kParked, A::kStored},
    {S::kParked, E::kPrepareSame, S::kParked, A::kFirstAnswer},
    {S::kParked, E::kPrepareOther, S::kParked, A::kIdReused},
    {S::kParked, E::kPrepareForeign, S::kParked, A::kIdTaken},
    {S::kParked, E::kPrepareLater, S::kParked, A::kStored},
    {S::kParked, E::kPrepareOversize, S::kParked, A::kTooLarge},
    {S::kParked, E::kCommit, S::kCommitted, A::kDecided},
    {S::kParked, E::kRollback, S::kRolledBack, A::kDecided},
    {S::kParked, E::kEndIncomplete, S::kParked, A::kIncomplete},
    {S::kParked, E::kEndStaleHandle, S::kParked, A::kAnotherHalf},
    {S::kParked, E::kEndExpired, S::kParked, A::kConflict},
    {S::kParked, E::kEndForeign, S::kParked, A::kNotOwner},
    {S::kParked, E::kCheckDelivered, S::kParked, A::kIgnored},
    {S::kParked, E::kPark, S::kParked, A::kIgnored},
    {S::kParked, E::kResume, S::kPending, A::kResumed},

    {S::kCommitted, E::kPrepareNew, S::kCommitted, A::kEnded},
    {S::kCommitted, E::kPrepareSame, S::kCommitted, A::kFirstAnswer},
    {S::kCommitted, E::kPrepareOther, S::kCommitted, A::kEnded},
    {S::kCommitted, E::kPrepareForeign, S::kCommitted, A::kIdTaken},
    {S::kCommitted, E::kPrepareLater, S::kCommitted, A::kEnded},
    {S::kCommitted, E::kPrepareOversize, S::kCommitted, A::kEnded},
    {S::kCommitted, E::kCommit, S::kCommitted, A::kRepeated},
    {S::kCommitted, E::kRollback, S::kCommitted, A::kConflict},
    {S::kCommitted, E::kEndIncomplete, S::kCommitted, A::kIncomplete},
    {S::kCommitted, E::kEndStaleHandle, S::kCommitted, A::kAnotherHalf},
    {S::kCommitted, E::kEndExpired, S::kCommitted, A::kConflict},
    {S::kCommitted, E::kEndForeign, S::kCommitted, A::kNotOwner},
    {S::kCommitted, E::kCheckDelivered, S::kCommitted, A::kIgnored},
    {S::kCommitted, E::kPark, S::kCommitted, A::kEnded},
    {S::kCommitted, E::kResume, S::kCommitted, A::kEnded},

    {S::kRolledBack, E::kPrepareNew, S::kRolledBack, A::kEnded},
    {S::kRolledBack, E::kPrepareSame, S::kRolledBack, A::kFirstAnswer},
    {S::kRolledBack, E::kPrepareOther, S::kRolledBack, A::kEnded},
    {S::kRolledBack, E::kPrepareForeign, S::kRolledBack, A::kIdTaken},
    {S::kRolledBack, E::kPrepareLater, S::kRolledBack, A::kEnded},
    {S::kRolledBack, E::kPrepareOversize, S::kRolledBack, A::kEnded},
    {S::kRolledBack, E::kCommit, S::kRolledBack, A::kConflict},
    {S::kRolledBack, E::kRollback, S::kRolledBack, A::kRepeated},
    {S::kRolledBack, E::kEndIncomplete, S::kRolledBack, A::kIncomplete},
    {S::kRolledBack, E::kEndStaleHandle, S::kRolledBack, A::kAnotherHalf},
    {S::kRolledBack, E::kEndExpired, S::kRolledBack, A::kConflict},
    {S::kRolledBack, E::kEndForeign, S::kRolledBack, A::kNotOwner},
    {S::kRolledBack, E::kCheckDelivered, S::kRolledBack, A::kIgnored},
    {S::kRolledBack, E::kPark, S::kRolledBack, A::kEnded},
    {S::kRolledBack, E::kResume, S::kRolledBack, A::kEnded},
}};

static_assert([] {
  for (std::size_t i = 0; i < kTxRules.size(); ++i) {
    if (static_cast<std::size_t>(kTxRules[i].state) != i / kTxEvents) return false;
    if (static_cast<std::size_t>(kTxRules[i].event) != i % kTxEvents) return false;
  }
  return true;
}());

std::optional<ErrorCode> error_of(TxAnswer answer) {
  switch (answer) {
    case A::kIdReused:
      return ErrorCode::kIdReused;
    case A::kIdTaken:
      return ErrorCode::kIdTaken;
    case A::kTooLarge:
      return ErrorCode::kTransactionTooLarge;
    case A::kEnded:
      return ErrorCode::kTransactionEnded;
    case A::kConflict:
    case A::kAnotherHalf:
      return ErrorCode::kConflict;
    case A::kExpired:
      return ErrorCode::kExpired;
    case A::kNotFound:
      return ErrorCode::kNotFoundOrExpired;
    case A::kIncomplete:
      return ErrorCode::kIncomplete;
    case A::kNotOwner:
      return ErrorCode::kNotOwner;
    case A::kStored:
    case A::kFirstAnswer:
    case A::kDecided:
    case A::kRepeated:
    case A::kCounted:
    case A::kParked:
    case A::kResumed:
    case A::kIgnored:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace tally::broker
