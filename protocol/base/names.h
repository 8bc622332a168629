#pragma once
// Forms of names and ids that clients choose.

#include <string_view>
#include <tally/result.hpp>

namespace tally {

/// `what` ("topic", "group") stands in the message. Error: INVALID_NAME.
Result<void> check_name(std::string_view what, std::string_view name);

/// 1 to 255 bytes of any value. Errors: INVALID_ARGUMENT (empty), FIELD_TOO_LONG.
Result<void> check_transaction_id(std::string_view id);

}  // namespace tally
