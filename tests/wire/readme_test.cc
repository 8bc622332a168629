// The tables of protocol/README.md say what the lists in the code say.

#include <catch2/catch.hpp>
#include <fstream>
#include <iostream>
#include <sstream>

#include "protocol/base/requests.h"

namespace tally::wire {
namespace {

std::string readme() {
  std::ostringstream text;
  text << std::ifstream("protocol/README.md").rdbuf();
  return text.str();
}

std::string_view payload(std::string_view request) {
  if (request == "Send" || request == "Prepare") return "request: one message block";
  if (request == "Receive") return "answer: the message blocks";
  return "";
}

std::string_view lane_name(Lane lane) {
  switch (lane) {
    case Lane::kControl:
      return "control";
    case Lane::kSend:
      return "send";
    case Lane::kProgress:
      return "progress";
  }
  return "?";
}

void check_table(const std::string& expected) {
  bool found = readme().find(expected) != std::string::npos;
  if (!found) std::cout << "protocol/README.md must hold this table:\n" << expected;
  CHECK(found);
}

}  // namespace

TEST_CASE("the README's table of requests is the list in requests.inc") {
  std::ostringstream table;
  table << "| Kind | Request | Asked by | Lane | Payload |\n|---|---|---|---|---|\n";
#define TALLY_REQUEST(Name, kind, sender, lane_)                              \
  table << "| " << kind << " | " << #Name << " | "                            \
        << (Sender::sender == Sender::kClient ? "client" : "broker") << " | " \
        << lane_name(Lane::lane_) << " | " << payload(#Name) << " |\n";
#include "protocol/base/requests.inc"
#undef TALLY_REQUEST
  check_table(table.str());
}

TEST_CASE("the README's table of errors is the list in error_codes.inc") {
  std::ostringstream table;
  table << "| Number | Error | Retry | Outcome | What to do |\n|---|---|---|---|---|\n";
#define TALLY_ERROR(enumerator, name, number, retryable, outcome, hint)                       \
  table << "| " << number << " | " << name << " | " << (retryable ? "yes" : "no") << " | "    \
        << (Outcome::outcome == Outcome::kDefinite ? "definite" : "unknown") << " | " << hint \
        << " |\n";
#include <tally/error_codes.inc>
#undef TALLY_ERROR
  check_table(table.str());
}

}  // namespace tally::wire
