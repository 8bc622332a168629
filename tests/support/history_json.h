#pragma once
// Histories as JSON lines, one event each: {"event":"send_invoked","at_ms":5,"process":"p1","call":1,...}. Names of events
// and fields are those of history.h; values that are 0, false or empty are left out.

#include <string>
#include <string_view>
#include <tally/result.hpp>

#include "tests/support/history.h"

namespace tally::test {

/// One line without its end.
std::string to_json(const Event& event);
/// INVALID_ARGUMENT for anything that to_json() does not write: unknown events, fields and values.
Result<Event> event_from_json(std::string_view line);

}  // namespace tally::test
