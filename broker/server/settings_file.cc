// Reads the configuration file. The only file that sees toml++.

#include <toml++/toml.h>

#include <algorithm>

#include "broker/server/settings.h"

namespace tally::broker {
namespace {

std::string place(const std::string& path, const toml::source_position& at) {
  return path + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) + ": ";
}

Error invalid(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message)}; }

Result<void> read_key(const std::string& at, const Key& key, const toml::node& node,
                      Settings& settings) {
  const std::string where = at + std::string(key.name);
  if (key.is_text()) {
    const auto* text = node.as_string();
    if (text == nullptr) return invalid(where + ": must be a text in quotes");
    return set_text(settings, key, text->get(), where);
  }
  const auto* number = node.as_integer();
  if (number == nullptr) return invalid(where + ": must be a whole number");
  return set_integer(settings, key, number->get(), where);
}

Result<void> read_table(const std::string& path, std::string_view name, const toml::table& table,
                        Settings& settings) {
  for (const auto& [entry, node] : table) {
    const std::string at = place(path, entry.source().begin);
    const auto keys = setting_keys();
    const auto key = std::find_if(keys.begin(), keys.end(), [&](const Key& k) {
      return k.table == name && k.name == entry.str();
    });
    if (key == keys.end()) {
      return invalid(at + "unknown key '" + std::string(entry.str()) + "' in [" +
                     std::string(name) + "]");
    }
    TALLY_TRY_VOID(read_key(at, *key, node, settings));
  }
  return {};
}

}  // namespace

Result<void> read_settings_file(const std::string& path, Settings& settings) {
  toml::table file;
  try {
    file = toml::parse_file(path);
  } catch (const toml::parse_error& error) {
    return invalid(place(path, error.source().begin) + std::string(error.description()));
  }
  for (const auto& [name, node] : file) {
    const std::string at = place(path, name.source().begin);
    const auto keys = setting_keys();
    if (std::none_of(keys.begin(), keys.end(),
                     [&](const Key& key) { return key.table == name.str(); })) {
      return invalid(at + "unknown table '" + std::string(name.str()) + "'");
    }
    const auto* table = node.as_table();
    if (table == nullptr) return invalid(at + std::string(name.str()) + ": must be a table");
    TALLY_TRY_VOID(read_table(path, name.str(), *table, settings));
  }
  return {};
}

}  // namespace tally::broker
