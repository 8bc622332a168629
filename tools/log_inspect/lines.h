#pragma once
// Lines of output. Ids and names may be any bytes: what is not UTF-8 is replaced.

#include <string>

#include "tools/tally/output.h"

namespace tally::tools {

std::string to_text(const cli::Json& value);
/// One JSON object; many lines, so each is not flushed.
void print_line(const cli::Json& object);
/// `name=value` pairs.
std::string to_pairs(const cli::Json& fields);

}  // namespace tally::tools
