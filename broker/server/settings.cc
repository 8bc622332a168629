#include "broker/server/settings.h"

#include <algorithm>
#include <thread>

namespace tally::broker {
namespace {

constexpr std::int64_t kHourMs = 3'600'000;
constexpr std::int64_t kTenYearsMs = 3'650 * 24 * kHourMs;
constexpr std::int64_t kGiB = 1ll << 30;
constexpr std::int64_t kRetentionBytesMax = 1ll << 60;

std::string flag_of(std::string_view name) {
  std::string flag(name);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

template <auto Member>
auto& field(auto& settings) {
  if constexpr (requires { settings.*Member; }) {
    return settings.*Member;
  } else {
    return settings.core.*Member;
  }
}

template <auto Member>
Key integer(std::string_view table, std::string_view name, std::int64_t min, std::int64_t max,
            std::string_view help) {
  Key key{table, name, flag_of(name), help, min, max};
  key.get_integer = [](const Settings& settings) {
    return static_cast<std::int64_t>(field<Member>(settings));
  };
  key.set_integer = [](Settings& settings, std::int64_t value) {
    auto& target = field<Member>(settings);
    target = static_cast<std::remove_reference_t<decltype(target)>>(value);
  };
  return key;
}

template <auto Member>
Key text(std::string_view table, std::string_view name, std::string_view help,
         std::vector<std::string_view> choices = {}) {
  Key key{table, name, flag_of(name), help};
  key.text = [](Settings& settings) -> std::string& { return field<Member>(settings); };
  key.choices = std::move(choices);
  return key;
}

std::vector<Key> make_keys() {
  using S = Settings;
  using C = CoreOptions;
  std::vector<Key> keys{
      text<&S::listen>("server", "listen", "HOST:PORT to serve on; port 0 takes a free one"),
      integer<&S::io_threads>("server", "io_threads", 1, 64,
                              "threads that read and write connections"),
      text<&S::data_dir>("storage", "data_dir",
                         "directory of the log and its index; made when missing"),
      integer<&S::segment_bytes>("storage", "segment_bytes", limits::kSegmentBytesMin, 4 * kGiB,
                                 "size of a log segment"),
      integer<&C::retention_ms>("storage", "retention_ms", 1, kTenYearsMs,
                                "how long messages and decisions are kept; at least twice "
                                "lifetime_ms"),
      integer<&S::retention_bytes>("storage", "retention_bytes", 0, kRetentionBytesMax,
                                   "how large the log may become; 0 is 80 % of the disk"),
      integer<&C::first_check_ms>("transactions", "first_check_ms", 1, 24 * kHourMs,
                                  "from PREPARE to the first check-back"),
      integer<&C::check_backoff_max_ms>("transactions", "check_backoff_max_ms", 1, 24 * kHourMs,
                                        "longest pause between two check-backs"),
      integer<&C::check_answer_ms>("transactions", "check_answer_ms", 1, kHourMs,
                                   "a check without answer counts as UNKNOWN after this"),
      integer<&C::check_budget>("transactions", "check_budget", 1, 1'000,
                                "check-backs before a transaction is parked"),
      integer<&C::transaction_lifetime_ms>("transactions", "lifetime_ms", 1, 30 * 24 * kHourMs,
                                           "longest life of a local transaction"),
      integer<&C::lease_ms>("delivery", "lease_ms", limits::kLeaseMsMin, limits::kLeaseMsMax,
                            "time a consumer has to settle a message or extend its lease"),
      integer<&C::attempts_max>("delivery", "attempts_max", 1, 10'000,
                                "deliveries before a message is dead-lettered"),
      integer<&C::retry_backoff_ms>("delivery", "retry_backoff_ms", 1, 24 * kHourMs,
                                    "pause before the first redelivery"),
      integer<&C::retry_backoff_max_ms>("delivery", "retry_backoff_max_ms", 1, 24 * kHourMs,
                                        "longest pause before a redelivery"),
      integer<&S::connections_max>("limits", "connections_max", 1, 100'000, "open connections"),
      integer<&S::window>("limits", "window", 1, 65'536, "requests in flight per connection"),
      integer<&C::topics_max>("limits", "topics_max", 1, 1'000'000, "topics"),
      integer<&C::groups_max>("limits", "groups_max", 1, 1'000'000, "consumer groups"),
      integer<&C::log_bytes_in_flight_max>(
          "limits", "log_bytes_in_flight_max", 1 << 10, 4 * kGiB,
          "admitted bytes not yet durable; above a part of it sends are refused"),
      text<&S::log_level>("log", "level", "what is written to standard error",
                          {"trace", "debug", "info", "warn", "error", "off"}),
  };
  keys.back().flag = "log-level";
  return keys;
}

Error invalid(std::string_view where, const std::string& what) {
  return {ErrorCode::kInvalidArgument, std::string(where) + ": " + what};
}

std::string quoted(std::string_view value) {
  std::string out = "\"";
  for (char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

}  // namespace

std::uint32_t default_io_threads() {
  return std::clamp(std::thread::hardware_concurrency() / 2, 1u, 8u);
}

std::span<const Key> setting_keys() {
  static const std::vector<Key> keys = make_keys();
  return keys;
}

Result<void> set_integer(Settings& settings, const Key& key, std::int64_t value,
                         std::string_view where) {
  if (value < key.min || value > key.max) {
    return invalid(where, std::to_string(value) + " is not between " + std::to_string(key.min) +
                              " and " + std::to_string(key.max));
  }
  key.set_integer(settings, value);
  return {};
}

Result<void> set_text(Settings& settings, const Key& key, std::string value,
                      std::string_view where) {
  if (value.empty()) return invalid(where, "must not be empty");
  if (!key.choices.empty() &&
      std::find(key.choices.begin(), key.choices.end(), value) == key.choices.end()) {
    std::string known;
    for (std::string_view choice : key.choices)
      known += (known.empty() ? "" : ", ") + std::string(choice);
    return invalid(where, quoted(value) + " is none of " + known);
  }
  key.text(settings) = std::move(value);
  return {};
}

Result<void> check_settings(const Settings& settings) {
  const std::int64_t lifetime_ms = settings.core.transaction_lifetime_ms;
  if (settings.core.retention_ms >= 2 * lifetime_ms) return {};
  return invalid("retention_ms",
                 std::to_string(settings.core.retention_ms) + " is less than twice lifetime_ms, " +
                     std::to_string(lifetime_ms) +
                     ": a decision has to be known as long as its END may come again");
}

std::string value_text(Settings& settings, const Key& key) {
  return key.is_text() ? quoted(key.text(settings)) : std::to_string(key.get_integer(settings));
}

std::string to_toml(Settings settings) {
  std::string out;
  std::string_view table;
  for (const Key& key : setting_keys()) {
    if (key.table != table) {
      out += (out.empty() ? "[" : "\n[") + std::string(key.table) + "]\n";
      table = key.table;
    }
    out += std::string(key.name) + " = " + value_text(settings, key) + "\n";
  }
  return out;
}

}  // namespace tally::broker
