#pragma once
// The broker's configuration: one list of keys, from which both parsers, --help and --print-config are made.
//
// Plain values, built before any thread starts. Errors are INVALID_ARGUMENT (exit code 2) and say where the bad value stands.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tally/result.hpp>
#include <vector>

#include "broker/core/core_types.h"

namespace tally::broker {

/// One I/O thread on two cores or fewer (the core and the log need the rest), else one for every two cores, at most 8.
std::uint32_t default_io_threads();

inline constexpr std::uint64_t kRetentionDiskPercent = 80;

struct Settings {
  std::string listen = "127.0.0.1:7410";
  std::uint32_t io_threads = default_io_threads();
  std::string data_dir = "./tally-data";
  std::uint64_t segment_bytes = limits::kSegmentBytes;
  std::uint64_t retention_bytes = 0;  ///< 0: kRetentionDiskPercent of the disk
  std::uint32_t connections_max = limits::kConnectionsMax;
  std::uint32_t window = limits::kWindow;
  std::string log_level = "info";
  CoreOptions core{};
};

/// One key: `name` in table [`table`] of the file, `--flag` on the command line.
struct Key {
  using GetInteger = std::int64_t (*)(const Settings&);
  using SetInteger = void (*)(Settings&, std::int64_t);
  using Text = std::string& (*)(Settings&);

  std::string_view table;
  std::string_view name;
  std::string flag;
  std::string_view help;
  std::int64_t min = 0;  ///< integers only
  std::int64_t max = 0;
  GetInteger get_integer = nullptr;  ///< set for integers
  SetInteger set_integer = nullptr;
  Text text = nullptr;                      ///< set for texts
  std::vector<std::string_view> choices{};  ///< texts only; empty: any

  bool is_text() const { return text != nullptr; }
};

/// Every key, in the order of the file that --print-config writes.
std::span<const Key> setting_keys();

/// Range or choice is checked. `where` begins the message: "--window" or "tally.toml:3:5: window".
Result<void> set_integer(Settings& settings, const Key& key, std::int64_t value,
                         std::string_view where);
Result<void> set_text(Settings& settings, const Key& key, std::string value,
                      std::string_view where);

/// What no range of a single key says: values that contradict each other.
Result<void> check_settings(const Settings& settings);

/// The effective values as a file that read_settings_file() accepts.
std::string to_toml(Settings settings);
/// The value of one key as it stands in that file.
std::string value_text(Settings& settings, const Key& key);

/// Lays the file's values over `settings`. Unknown tables and keys, wrong types and ranges are refused with line and column.
Result<void> read_settings_file(const std::string& path, Settings& settings);

}  // namespace tally::broker
