#include "protocol/base/names.h"

#include <algorithm>

#include "protocol/base/limits.h"

namespace tally {
namespace {

constexpr bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

}  // namespace

Result<void> check_name(std::string_view what, std::string_view name) {
  auto refuse = [what](const std::string& why) {
    return Error{ErrorCode::kInvalidName, std::string{what} + " name " + why};
  };
  if (name.empty()) return refuse("is empty");
  if (name.size() > limits::kNameBytesMax) {
    return refuse("has " + std::to_string(name.size()) + " bytes");
  }
  if (!std::all_of(name.begin(), name.end(), is_name_character)) {
    return refuse("has a character that is not allowed");
  }
  return {};
}

Result<void> check_transaction_id(std::string_view id) {
  if (id.empty()) return Error{ErrorCode::kInvalidArgument, "the transaction id is empty"};
  if (id.size() > limits::kFieldBytesMax) {
    return Error{ErrorCode::kFieldTooLong, "the transaction id has " + std::to_string(id.size()) +
                                               " bytes, at most 255 are allowed"};
  }
  return {};
}

}  // namespace tally
