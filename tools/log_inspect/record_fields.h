#pragma once
// The extension of a record as named values for people and programs.

#include <nlohmann/json.hpp>
#include <string>

#include "store/record.h"

namespace tally::tools {

/// The fields in the order of the byte table; nothing when the extension does not decode.
std::optional<nlohmann::ordered_json> record_fields(const store::RecordView& record);

/// `name=value` pairs.
std::string to_line(const nlohmann::ordered_json& fields);

}  // namespace tally::tools
