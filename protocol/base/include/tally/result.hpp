#pragma once
// Result<T>: a value or an Error, shaped like std::expected. Never throws by itself; value() does.

#include <tally/error.hpp>
#include <utility>
#include <variant>

namespace tally {

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  /// The value; throws tally::Exception when there is none.
  T& value() & { return check(), held<0>(state_); }
  const T& value() const& { return check(), held<0>(state_); }
  T value() && { return check(), std::move(held<0>(state_)); }

  /// The value, which must be there.
  T& operator*() & noexcept { return held<0>(state_); }
  const T& operator*() const& noexcept { return held<0>(state_); }
  T&& operator*() && noexcept { return std::move(held<0>(state_)); }
  T* operator->() noexcept { return &held<0>(state_); }
  const T* operator->() const noexcept { return &held<0>(state_); }

  /// The error, which must be there.
  Error& error() & noexcept { return held<1>(state_); }
  const Error& error() const& noexcept { return held<1>(state_); }
  Error&& error() && noexcept { return std::move(held<1>(state_)); }

 private:
  void check() const {
    if (!has_value()) throw Exception(held<1>(state_));
  }
  // Says that the alternative is there; otherwise g++ warns of a null pointer in every caller.
  template <std::size_t kIndex, typename State>
  static auto& held(State& state) noexcept {
    auto* found = std::get_if<kIndex>(&state);
    if (found == nullptr) __builtin_unreachable();
    return *found;
  }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool has_value() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  /// Throws tally::Exception when this is an error.
  void value() const {
    if (error_) throw Exception(*error_);
  }
  /// The error, which must be there.
  Error& error() & noexcept { return *error_; }
  const Error& error() const& noexcept { return *error_; }
  Error&& error() && noexcept { return *std::move(error_); }

 private:
  std::optional<Error> error_;
};

}  // namespace tally

#define TALLY_CONCAT_INNER(a, b) a##b
#define TALLY_CONCAT(a, b) TALLY_CONCAT_INNER(a, b)

/// TALLY_TRY(auto value, expression): binds the value, or returns the error from the current
/// function.
#define TALLY_TRY(declaration, ...) \
  TALLY_TRY_AS(TALLY_CONCAT(tally_try_, __LINE__), declaration, __VA_ARGS__)
#define TALLY_TRY_AS(temporary, declaration, ...)      \
  auto temporary = (__VA_ARGS__);                      \
  if (!temporary) return std::move(temporary).error(); \
  declaration = *std::move(temporary)

/// The same for a Result<void>.
#define TALLY_TRY_VOID(...)                                       \
  do {                                                            \
    if (auto tally_try_result = (__VA_ARGS__); !tally_try_result) \
      return std::move(tally_try_result).error();                 \
  } while (false)
