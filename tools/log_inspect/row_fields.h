#pragma once
// A row of an index or a base as named values for people and programs.

#include <optional>
#include <string>
#include <string_view>

#include "tools/tally/output.h"

namespace tally::tools {

struct Row {
  std::string_view kind{};  ///< row_kind()
  cli::Json key = cli::Json::object();
  cli::Json fields = cli::Json::object();
};

/// "config", "topic", "queue", …; "unknown".
std::string_view row_kind(std::string_view key);

/// Nothing when key or value do not decode.
std::optional<Row> row_fields(std::string_view key, std::string_view value);

}  // namespace tally::tools
