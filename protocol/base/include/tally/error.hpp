#pragma once
// Errors as every part of Tally reports them.

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>

namespace tally {

enum class ErrorCode : std::uint16_t {
  kOk = 0,
#define TALLY_ERROR(enumerator, name, number, retryable, outcome, hint) enumerator = number,
#include "tally/error_codes.inc"
#undef TALLY_ERROR
};

/// kDefinite: the request changed nothing. kUnknown: it may or may not have taken effect.
enum class Outcome : std::uint8_t { kDefinite, kUnknown };

std::string_view name(ErrorCode code);
std::string_view hint(ErrorCode code);
bool retryable(ErrorCode code);
Outcome outcome(ErrorCode code);
/// The code with this wire number; kInternal for a number this version does not know.
ErrorCode error_code_from_number(std::uint32_t number);

enum class TransactionState : std::uint8_t {
  kPending = 1,
  kParked = 2,
  kCommitted = 3,
  kRolledBack = 4
};
enum class Decision : std::uint8_t { kCommit = 1, kRollback = 2, kUnknown = 3 };
enum class Decider : std::uint8_t {
  kNone = 0,
  kProducer = 1,
  kCheck = 2,
  kOperator = 3,
  kBroker = 4,  ///< rolled back because a topic or producer group says so when no check helped
};

/// "pending", "parked", "committed", "rolled-back"
std::string_view name(TransactionState state);
/// "commit", "rollback", "unknown"
std::string_view name(Decision decision);
/// "none", "producer", "check", "operator", "broker"
std::string_view name(Decider decider);

/// The decision that stands, carried by CONFLICT.
struct Winner {
  TransactionState state{};
  Decider decided_by{};
  std::int64_t decided_at_ms{};  ///< broker time, Unix epoch
  bool operator==(const Winner&) const = default;
};

/// What went wrong. A value; copying it costs a string.
struct [[nodiscard]] Error {
  ErrorCode code{ErrorCode::kInternal};
  std::string message{};           ///< what happened, without code and hint
  std::optional<Winner> winner{};  ///< set for CONFLICT

  Error() = default;
  Error(ErrorCode c, std::string m) : code(c), message(std::move(m)) {}
  bool operator==(const Error&) const = default;
};

/// `CODE: what happened; what to do`
std::string to_string(const Error& error);

/// Thrown by Result::value() only.
class Exception : public std::exception {
 public:
  explicit Exception(Error error);
  const Error& error() const noexcept { return error_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  Error error_;
  std::string text_;
};

}  // namespace tally
