#include <tally/error.hpp>

namespace tally {
namespace {

struct ErrorRow {
  std::string_view name;
  bool retryable;
  Outcome outcome;
  std::string_view hint;
};

// Null for a number that is not in the list.
const ErrorRow* find_row(ErrorCode code) {
  switch (code) {
    case ErrorCode::kOk: {
      static constexpr ErrorRow kRow{"OK", false, Outcome::kDefinite, ""};
      return &kRow;
    }
#define TALLY_ERROR(enumerator, name, number, retryable, outcome, hint)      \
  case ErrorCode::enumerator: {                                              \
    static constexpr ErrorRow kRow{name, retryable, Outcome::outcome, hint}; \
    return &kRow;                                                            \
  }
#include "tally/error_codes.inc"
#undef TALLY_ERROR
  }
  return nullptr;
}

const ErrorRow& row(ErrorCode code) {
  const ErrorRow* found = find_row(code);
  return found != nullptr ? *found : *find_row(ErrorCode::kInternal);
}

}  // namespace

std::string_view name(ErrorCode code) { return row(code).name; }
std::string_view hint(ErrorCode code) { return row(code).hint; }
bool retryable(ErrorCode code) { return row(code).retryable; }
Outcome outcome(ErrorCode code) { return row(code).outcome; }

ErrorCode error_code_from_number(std::uint32_t number) {
  if (number > UINT16_MAX) return ErrorCode::kInternal;
  auto code = static_cast<ErrorCode>(number);
  return find_row(code) != nullptr ? code : ErrorCode::kInternal;
}

std::string_view name(TransactionState state) {
  switch (state) {
    case TransactionState::kPending:
      return "pending";
    case TransactionState::kParked:
      return "parked";
    case TransactionState::kCommitted:
      return "committed";
    case TransactionState::kRolledBack:
      return "rolled-back";
  }
  return "unknown";
}

std::string_view name(Decision decision) {
  switch (decision) {
    case Decision::kCommit:
      return "commit";
    case Decision::kRollback:
      return "rollback";
    case Decision::kUnknown:
      break;
  }
  return "unknown";
}

std::string_view name(Decider decider) {
  switch (decider) {
    case Decider::kProducer:
      return "producer";
    case Decider::kCheck:
      return "check";
    case Decider::kBroker:
      return "broker";
    case Decider::kOperator:
      return "operator";
    case Decider::kNone:
      break;
  }
  return "none";
}

std::string to_string(const Error& error) {
  std::string text{name(error.code)};
  for (std::string_view part : {std::string_view{error.message}, hint(error.code)}) {
    if (part.empty()) continue;
    text += text.size() == name(error.code).size() ? ": " : "; ";
    text += part;
  }
  return text;
}

Exception::Exception(Error error) : error_(std::move(error)), text_(to_string(error_)) {}

}  // namespace tally
