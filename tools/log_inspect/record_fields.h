#pragma once
// The extension of a record as named values for people and programs.

#include <nlohmann/json.hpp>
#include <string>
#include <tally/error.hpp>

#include "store/record.h"
#include "store/segment.h"

namespace tally::tools {

/// The fields in the order of the byte table; nothing when the extension does not decode.
std::optional<nlohmann::ordered_json> record_fields(const store::RecordView& record);

/// The same check without the fields, which cost ten times as much.
bool decodes(const store::RecordView& record);

/// DATA_DAMAGED, with file and position.
Error does_not_decode(const store::Segment& segment, const store::RecordHeader& record);

}  // namespace tally::tools
