#include "tools/log_inspect/lines.h"

#include <cstdio>

namespace tally::tools {

std::string to_text(const cli::Json& value) {
  return value.dump(-1, ' ', false, cli::Json::error_handler_t::replace);
}

void print_line(const cli::Json& object) { std::puts(to_text(object).c_str()); }

std::string to_pairs(const cli::Json& fields) {
  std::string line;
  for (const auto& [name, value] : fields.items()) {
    if (!line.empty()) line += ' ';
    line += name + "=" + (value.is_string() ? value.get<std::string>() : to_text(value));
  }
  return line;
}

}  // namespace tally::tools
