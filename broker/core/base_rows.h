#pragma once
// Which rows of the index a base holds, and what they need of the log. Pure functions, any thread.

#include <optional>
#include <span>
#include <string_view>
#include <tally/ids.hpp>

#include "broker/core/index_keys.h"

namespace tally::broker {

/// Kinds of rows, ascending: all but blocks of queues and decided transactions.
std::span<const keys::Kind> base_kinds();
/// The oldest half that a row of an open transaction refers to; nothing when it does not decode.
std::optional<Lsn> oldest_half(std::string_view key, std::string_view row);
/// The LSN of the END that a row of a decided transaction speaks of; nothing when it does not decode.
std::optional<Lsn> end_of_decided(std::string_view key, std::string_view row);

}  // namespace tally::broker
