#include "tools/tally/output.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

namespace tally::cli {
namespace {

std::string base64(std::string_view bytes) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out += k <= count ? kAlphabet[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return out;
}

bool is_utf8(std::string_view bytes) {
  try {
    (void)Json(bytes).dump();
    return true;
  } catch (const Json::type_error&) {
    return false;
  }
}

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789.-") == std::string::npos;
}

}  // namespace

void set_bytes(Json& object, const std::string& name, std::string_view bytes) {
  if (is_utf8(bytes)) {
    object[name] = bytes;
  } else {
    object[name + "_base64"] = base64(bytes);
  }
}

void print_line(const Json& object) {
  std::string line = object.dump();
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fflush(stdout);
}

void Table::print() const {
  std::vector<std::size_t> widths(rows_.front().size());
  std::vector<bool> numeric(widths.size(), rows_.size() > 1);
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    for (std::size_t c = 0; c < widths.size(); ++c) {
      widths[c] = std::max(widths[c], rows_[r][c].size());
      if (r > 0 && !is_number(rows_[r][c])) numeric[c] = false;
    }
  }
  std::string out;
  for (const auto& row : rows_) {
    for (std::size_t c = 0; c < widths.size(); ++c) {
      std::string pad(widths[c] - row[c].size(), ' ');
      bool last = c + 1 == widths.size();
      if (numeric[c]) {
        out += pad + row[c];
      } else {
        out += row[c] + (last ? "" : pad);
      }
      out += last ? "\n" : "  ";
    }
  }
  std::fwrite(out.data(), 1, out.size(), stdout);
  std::fflush(stdout);
}

void print_error(Format format, const Error& error, const Json& context) {
  if (format == Format::kTable) {
    std::string prefix = context.contains("line") ? "line " + context["line"].dump() + ": " : "";
    std::fprintf(stderr, "%s%s\n", prefix.c_str(), to_string(error).c_str());
    return;
  }
  Json fields = {{"code", name(error.code)},
                 {"number", static_cast<int>(error.code)},
                 {"message", error.message},
                 {"hint", hint(error.code)},
                 {"outcome", outcome(error.code) == Outcome::kUnknown ? "unknown" : "definite"}};
  if (error.winner) {
    fields["winner"] = name(error.winner->state);
    fields["decided_by"] = name(error.winner->decided_by);
    fields["decided_at_ms"] = error.winner->decided_at_ms;
  }
  Json line = context;
  line["error"] = std::move(fields);
  std::fprintf(stderr, "%s\n", line.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
}

Exit exit_code(const Error& error) {
  switch (error.code) {
    case ErrorCode::kUnreachable:
    case ErrorCode::kDisconnected:
    case ErrorCode::kTimeout:
      return kExitUnreachable;
    default:
      return kExitRefused;
  }
}

std::string time_text(std::int64_t unix_ms) {
  if (unix_ms == 0) return "-";
  std::time_t seconds = unix_ms / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char date[32];
  std::strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &utc);
  char text[48];
  std::snprintf(text, sizeof text, "%s.%03d", date, static_cast<int>(unix_ms % 1000));
  return text;
}

}  // namespace tally::cli
