#pragma once
// The rows of an index in ascending order, one at a time. Reads them by the page. One thread.

#include <string>
#include <utility>
#include <vector>

#include "store/index_store.h"

namespace tally::tools {

class RowCursor {
 public:
  /// Rows of [from, to). `index` must outlive it.
  RowCursor(const store::IndexView& index, std::string from, std::string to)
      : index_(index), from_(std::move(from)), to_(std::move(to)) {}

  struct Row {
    std::string key{};
    std::string value{};
  };
  /// Null behind the last one. Valid until advance().
  Result<const Row*> row() {
    if (at_ == page_.size() && !ended_) TALLY_TRY_VOID(read_page());
    return at_ < page_.size() ? &page_[at_] : nullptr;
  }
  void advance() { ++at_; }

 private:
  static constexpr std::size_t kPageRows = 1024;

  Result<void> read_page() {
    page_.clear();
    at_ = 0;
    TALLY_TRY_VOID(index_.scan(from_, to_, [this](std::string_view key, std::string_view value) {
      page_.push_back({.key = std::string(key), .value = std::string(value)});
      return page_.size() < kPageRows;
    }));
    ended_ = page_.size() < kPageRows;
    if (!page_.empty()) from_ = page_.back().key + '\0';
    return {};
  }

  const store::IndexView& index_;
  std::string from_;
  const std::string to_;
  std::vector<Row> page_{};
  std::size_t at_ = 0;
  bool ended_ = false;
};

}  // namespace tally::tools
