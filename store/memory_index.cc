#include <map>
#include <mutex>
#include <shared_mutex>

#include "store/index_store.h"

namespace tally::store {
namespace {

/// The twin of LevelDB for tests and simulation.
class MemoryIndex final : public IndexStore {
 public:
  MemoryIndex() = default;
  Result<std::unique_ptr<IndexView>> snapshot() const override {
    std::shared_lock lock(mutex_);
    auto copy = std::make_unique<MemoryIndex>();
    copy->values_ = values_;
    copy->position_ = position_;
    return std::unique_ptr<IndexView>(std::move(copy));
  }

  Result<void> write(const IndexBatch& batch) override {
    std::unique_lock lock(mutex_);
    for (const IndexBatch::Operation& operation : batch.operations) {
      if (operation.value) {
        values_.insert_or_assign(operation.key, *operation.value);
      } else {
        values_.erase(operation.key);
      }
    }
    position_ = batch.position;
    return {};
  }

  Result<std::optional<std::string>> get(std::string_view key) const override {
    std::shared_lock lock(mutex_);
    const auto found = values_.find(key);
    if (found == values_.end()) return std::optional<std::string>();
    return std::optional<std::string>(found->second);
  }

  Result<void> scan(
      std::string_view from, std::string_view to,
      const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    std::shared_lock lock(mutex_);
    for (auto at = values_.lower_bound(from); at != values_.end() && at->first < to; ++at) {
      if (!visit(at->first, at->second)) break;
    }
    return {};
  }

  Result<std::optional<ReplayFrom>> position() const override {
    std::shared_lock lock(mutex_);
    return position_;
  }

 private:
  mutable std::shared_mutex mutex_{};
  std::map<std::string, std::string, std::less<>> values_{};
  std::optional<ReplayFrom> position_{};
};

}  // namespace

std::unique_ptr<IndexStore> make_memory_index() { return std::make_unique<MemoryIndex>(); }

}  // namespace tally::store
