#include "tools/tally/check_options.h"

namespace tally::cli {
namespace {

std::string duration_text(std::int64_t ms) { return ms == 0 ? "" : std::to_string(ms) + "ms"; }

std::string_view name_of(OnBudget on_budget) {
  switch (on_budget) {
    case OnBudget::kPark:
      return "park";
    case OnBudget::kRollback:
      return "rollback";
    case OnBudget::kInherit:
      break;
  }
  return "";
}

OnBudget parse_on_budget(const std::string& text) {
  for (const OnBudget value : {OnBudget::kPark, OnBudget::kRollback}) {
    if (text == name_of(value)) return value;
  }
  throw UsageError("--on-budget takes park or rollback");
}

}  // namespace

void add_check_options(cxxopts::OptionAdder& add) {
  add("first-check", "from prepare to the first check", cxxopts::value<std::string>(), "TIME");
  add("lifetime", "of a transaction", cxxopts::value<std::string>(), "TIME");
  add("backoff-max", "longest time between two checks", cxxopts::value<std::string>(), "TIME");
  add("budget", "delivered checks until --on-budget", cxxopts::value<std::uint32_t>(), "N");
  add("on-budget", "then: park or rollback", cxxopts::value<std::string>(), "WHAT");
}

CheckSettings parse_check_options(const Invocation& invocation) {
  const auto& options = invocation.options;
  const auto duration = [&](const char* option) {
    return options.count(option) ? parse_duration_ms(options[option].as<std::string>()) : 0;
  };
  return {.first_check_ms = duration("first-check"),
          .lifetime_ms = duration("lifetime"),
          .backoff_max_ms = duration("backoff-max"),
          .budget = options.count("budget") ? options["budget"].as<std::uint32_t>() : 0,
          .on_budget = options.count("on-budget")
                           ? parse_on_budget(options["on-budget"].as<std::string>())
                           : OnBudget::kInherit};
}

void put_checks(Json& line, const CheckSettings& checks) {
  if (checks.first_check_ms != 0) line["first_check_ms"] = checks.first_check_ms;
  if (checks.lifetime_ms != 0) line["lifetime_ms"] = checks.lifetime_ms;
  if (checks.backoff_max_ms != 0) line["backoff_max_ms"] = checks.backoff_max_ms;
  if (checks.budget != 0) line["budget"] = checks.budget;
  if (checks.on_budget != OnBudget::kInherit) line["on_budget"] = name_of(checks.on_budget);
}

std::vector<std::string> check_cells(const CheckSettings& checks) {
  return {duration_text(checks.first_check_ms), duration_text(checks.lifetime_ms),
          duration_text(checks.backoff_max_ms),
          checks.budget == 0 ? "" : std::to_string(checks.budget),
          std::string(name_of(checks.on_budget))};
}

}  // namespace tally::cli
