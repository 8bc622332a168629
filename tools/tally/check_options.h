#pragma once
// Settings of check-backs on the command line: options, JSON fields, cells of a table.

#include <string>
#include <vector>

#include "tools/tally/command.h"

namespace tally::cli {

void add_check_options(cxxopts::OptionAdder& add);
/// Throws UsageError.
CheckSettings parse_check_options(const Invocation& invocation);
/// Only what is set.
void put_checks(Json& line, const CheckSettings& checks);
/// One cell each, empty when not set; kCheckColumns are their heads.
std::vector<std::string> check_cells(const CheckSettings& checks);
inline constexpr const char* kCheckColumns[] = {"FIRST CHECK", "LIFETIME", "BACKOFF MAX", "BUDGET",
                                                "ON BUDGET"};

}  // namespace tally::cli
