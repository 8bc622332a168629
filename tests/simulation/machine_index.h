#pragma once
// The index of a simulated machine: an ordered map that survives its process, and power cuts, as far as it was written.

#include <memory>
#include <utility>

#include "broker/server/shard.h"

namespace tally::simulation {

class MachineIndex final : public broker::IndexHome {
 public:
  Result<bool> exists() override { return rows_ != nullptr; }
  Result<std::unique_ptr<store::IndexStore>> open() override {
    if (rows_ == nullptr) rows_ = store::make_memory_index();
    return std::unique_ptr<store::IndexStore>(std::make_unique<Opened>(rows_));
  }
  Result<void> destroy() override {
    rows_.reset();
    return {};
  }
  /// Of its own, with the same rows.
  MachineIndex copy() const;

 private:
  using Rows = std::shared_ptr<store::IndexStore>;

  class Opened final : public store::IndexStore {
   public:
    explicit Opened(Rows rows) : rows_(std::move(rows)) {}
    Result<std::optional<std::string>> get(std::string_view key) const override {
      return rows_->get(key);
    }
    Result<void> scan(std::string_view from, std::string_view to,
                      const std::function<bool(std::string_view key, std::string_view value)>&
                          visit) const override {
      return rows_->scan(from, to, visit);
    }
    Result<std::optional<store::ReplayFrom>> position() const override { return rows_->position(); }
    Result<void> write(const store::IndexBatch& batch) override { return rows_->write(batch); }
    Result<std::unique_ptr<store::IndexView>> snapshot() const override {
      return rows_->snapshot();
    }

   private:
    const Rows rows_;
  };

  Rows rows_{};
};

}  // namespace tally::simulation
