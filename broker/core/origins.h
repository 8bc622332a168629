#pragma once
// Who prepared transactions, and which store knows their truth: kept once for all that have the same.
//
// One thread. An origin is forgotten with its last share, so that there are never more of them than of transactions. Shares
// die before their Origins.

#include <compare>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <tally/ids.hpp>
#include <utility>

namespace tally::broker {

struct Origin {
  std::string_view group{};   ///< producer group
  std::string_view client{};  ///< prepared it
  StoreId store{};            ///< zero: the listener's, or not kept
  auto operator<=>(const Origin&) const = default;
};

class Origins {
  struct Kept;

 public:
  class Share {
   public:
    Share() = default;
    explicit Share(const Kept& kept) : kept_(&kept) { ++kept.shares; }
    Share(Share&& from) noexcept : kept_(std::exchange(from.kept_, nullptr)) {}
    Share& operator=(Share&& from) noexcept {
      std::swap(kept_, from.kept_);
      return *this;
    }
    ~Share() {
      if (kept_ != nullptr && --kept_->shares == 0) kept_->home.forget(*kept_);
    }
    /// Valid as long as this share.
    Origin get() const { return kept_ != nullptr ? kept_->name() : Origin{}; }

   private:
    const Kept* kept_ = nullptr;
  };

  Origins() = default;
  Origins(const Origins&) = delete;
  Origins& operator=(const Origins&) = delete;
  Share share(const Origin& origin) {
    auto found = all_.find(origin);
    if (found == all_.end()) found = all_.emplace(*this, origin).first;
    return Share(*found);
  }
  std::size_t size() const { return all_.size(); }

 private:
  struct Kept {
    Kept(Origins& of, const Origin& origin)
        : home(of), group(origin.group), client(origin.client), store(origin.store) {}
    Origin name() const { return {.group = group, .client = client, .store = store}; }
    Origins& home;
    std::string group;
    std::string client;
    StoreId store;
    mutable std::uint32_t shares = 0;
  };
  struct Less {
    using is_transparent = void;
    static const Origin& name(const Origin& origin) { return origin; }
    static Origin name(const Kept& kept) { return kept.name(); }
    bool operator()(const auto& a, const auto& b) const { return name(a) < name(b); }
  };
  void forget(const Kept& kept) { all_.erase(all_.find(kept)); }

  std::set<Kept, Less> all_{};
};

}  // namespace tally::broker
