#pragma once
// The derived index of one shard as ordered keys and values. Two forms: LevelDB (store/index) and
// an ordered map for tests and simulation. Keys already carry the shard prefix; what they mean is
// the core's business (broker/core/index_keys.h).
//
// Concurrency: reading from any thread; write() by one. A view belongs to one thread.
// Errors: DISK_FULL (of write(): it may be called again when there is room, and reads go on; of a
// read: the store could not be opened anew yet), IO_ERROR and DATA_DAMAGED (the process must end;
// the next start rebuilds).

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tally/result.hpp>
#include <vector>

#include "store/file_system.h"
#include "store/log.h"

namespace tally::store {

/// One checkpoint: everything that changed up to an applied entry. Later operations win over
/// earlier ones of the same key.
struct IndexBatch {
  struct Operation {
    std::string key{};
    std::optional<std::string> value{};  ///< nothing: delete
  };
  std::vector<Operation> operations{};
  ReplayFrom position{};  ///< written in the same batch; replay continues here
};

/// The rows of one moment.
class IndexView {
 public:
  virtual ~IndexView() = default;
  virtual Result<std::optional<std::string>> get(std::string_view key) const = 0;
  /// Keys in [from, to), ascending, until `visit` returns false.
  virtual Result<void> scan(
      std::string_view from, std::string_view to,
      const std::function<bool(std::string_view key, std::string_view value)>& visit) const = 0;
  /// The position of the newest checkpoint; nothing when there is none.
  virtual Result<std::optional<ReplayFrom>> position() const = 0;
};

class IndexStore : public IndexView {
 public:
  /// Synced before it returns.
  virtual Result<void> write(const IndexBatch& batch) = 0;
  /// What is there now, whatever is written later. Must not outlive the store.
  virtual Result<std::unique_ptr<IndexView>> snapshot() const = 0;
};

std::unique_ptr<IndexStore> make_memory_index();

/// Opens or makes LevelDB in `directory`. Paranoid checks on, every write synced. DATA_DAMAGED when
/// it does not open cleanly: the caller removes it with destroy_leveldb_index() and rebuilds.
/// DATA_LOCKED: another process has it open. Also DATA_UNUSABLE, IO_ERROR, DISK_FULL.
Result<std::unique_ptr<IndexStore>> open_leveldb_index(FileSystem& files,
                                                       const std::string& directory);
Result<void> destroy_leveldb_index(FileSystem& files, const std::string& directory);

}  // namespace tally::store
