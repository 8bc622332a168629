#include "producer-sdk/sqlite/connection.h"

namespace tally::sqlite {

const Row::Cell* Row::cell(std::size_t column) const {
  return column < cells_.size() ? &cells_[column] : nullptr;
}

bool Row::is_null(std::size_t column) const {
  const Cell* found = cell(column);
  return found == nullptr || std::holds_alternative<std::monostate>(*found);
}

std::int64_t Row::integer(std::size_t column) const {
  const auto* value = std::get_if<std::int64_t>(cell(column));
  return value == nullptr ? 0 : *value;
}

double Row::real(std::size_t column) const {
  if (const auto* value = std::get_if<double>(cell(column))) return *value;
  return static_cast<double>(integer(column));
}

std::string_view Row::text(std::size_t column) const {
  const auto* value = std::get_if<std::string>(cell(column));
  return value == nullptr ? std::string_view() : std::string_view(*value);
}

Rows Transaction::run(std::string_view sql, std::span<const Binding> bindings) {
  if (error_) return {};
  auto rows = connection_.run(sql, bindings);
  if (rows) return *std::move(rows);
  error_ = std::move(rows).error();
  return {};
}

std::int64_t Transaction::changes() const { return connection_.changes(); }

}  // namespace tally::sqlite
