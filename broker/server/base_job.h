#pragma once
// Makes a base of what the index holds now, in steps of 256 KiB of rows, while the index goes on. Used by the index thread.

#include <memory>
#include <optional>
#include <string>

#include "broker/core/base_rows.h"
#include "broker/core/core_types.h"
#include "store/base.h"
#include "store/index_store.h"

namespace tally::broker {

class BaseJob {
 public:
  BaseJob(const store::IndexStore& index, store::FileSystem& files, std::string directory,
          ShardId shard)
      : index_(index), files_(files), directory_(std::move(directory)), shard_(shard) {}

  /// The base, once it has its name. A base of the same position that exists is taken instead. Errors: DISK_FULL (nothing is
  /// left of it), IO_ERROR; those of the index when of_index() says so.
  Result<std::optional<KnownBase>> step();
  bool of_index() const { return of_index_; }

 private:
  enum class Stage : std::uint8_t { kBegin, kRows, kReadBack };

  Result<std::optional<KnownBase>> begin();
  Result<void> copy_rows();
  Result<void> copy_row(keys::Kind kind, std::string_view key, std::string_view value);

  const store::IndexStore& index_;
  store::FileSystem& files_;
  const std::string directory_;
  const ShardId shard_;
  Stage stage_ = Stage::kBegin;
  bool of_index_ = false;
  std::unique_ptr<store::IndexView> view_{};
  std::optional<store::BaseWriter> writer_{};
  std::size_t kind_ = 0;  ///< of base_kinds()
  std::string next_key_{};
  Lsn oldest_needed_{};
};

}  // namespace tally::broker
