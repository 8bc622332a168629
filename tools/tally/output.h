#pragma once
// How commands print: tables for people, one JSON object per line for machines, errors on standard error.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <tally/error.hpp>
#include <vector>

namespace tally::cli {

using Json = nlohmann::ordered_json;

enum class Format : std::uint8_t { kTable, kJson };

/// Exit codes of `tally`.
enum Exit : int { kExitOk = 0, kExitRefused = 1, kExitArguments = 2, kExitUnreachable = 3 };

/// Puts `bytes` under `name`, or, when they are not UTF-8, as Base64 under `name_base64`.
void set_bytes(Json& object, const std::string& name, std::string_view bytes);

void print_line(const Json& object);

/// A table with a header, columns as wide as needed; columns of numbers are right-aligned.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  void print() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// `CODE: what happened; what to do`, or `{"error":{…}}`; `context` (such as a line number) stands beside the error.
void print_error(Format format, const Error& error, const Json& context = Json::object());

/// The exit code that an error of a request leads to.
Exit exit_code(const Error& error);

/// UTC, "2026-01-31 12:00:00.123"; "-" for 0.
std::string time_text(std::int64_t unix_ms);

}  // namespace tally::cli
