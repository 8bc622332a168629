#include <catch2/catch.hpp>
#include <cctype>
#include <set>
#include <tally/result.hpp>

#include "protocol/base/names.h"

namespace tally {
namespace {

struct Row {
  ErrorCode code;
  std::string_view name;
  std::uint32_t number;
  bool retryable;
  Outcome outcome;
  std::string_view hint;
};

constexpr Row kRows[] = {
#define TALLY_ERROR(enumerator, name, number, retryable, outcome, hint) \
  {ErrorCode::enumerator, name, number, retryable, Outcome::outcome, hint},
#include <tally/error_codes.inc>
#undef TALLY_ERROR
};

Result<int> half(int number) {
  if (number % 2 != 0) return Error{ErrorCode::kInvalidArgument, "odd"};
  return number / 2;
}

Result<int> quarter(int number) {
  TALLY_TRY(int first, half(number));
  TALLY_TRY(int second, half(first));
  return second;
}

Result<void> check_even(int number) {
  TALLY_TRY_VOID(half(number).has_value() ? Result<void>{} : Result<void>{Error{}});
  return {};
}

}  // namespace

TEST_CASE("every row of the error list is found by its code and by its number") {
  for (const Row& row : kRows) {
    CAPTURE(row.name);
    CHECK(name(row.code) == row.name);
    CHECK(hint(row.code) == row.hint);
    CHECK(retryable(row.code) == row.retryable);
    CHECK(outcome(row.code) == row.outcome);
    CHECK(error_code_from_number(row.number) == row.code);
    CHECK_FALSE(row.hint.empty());
  }
}

TEST_CASE("numbers and names of the error list are unique, and zero is kept for OK") {
  std::set<std::uint32_t> numbers;
  std::set<std::string_view> names;
  for (const Row& row : kRows) {
    CAPTURE(row.name);
    CHECK(row.number != 0);
    CHECK(numbers.insert(row.number).second);
    CHECK(names.insert(row.name).second);
  }
  CHECK(error_code_from_number(0) == ErrorCode::kOk);
  CHECK(name(ErrorCode::kOk) == "OK");
}

TEST_CASE("a number that this version does not know counts as INTERNAL, whose outcome is unknown") {
  for (std::uint32_t number : {9u, 999u, 0x1'0000u, 0x1'0001u, UINT32_MAX}) {
    CHECK(error_code_from_number(number) == ErrorCode::kInternal);
  }
  CHECK(outcome(ErrorCode::kInternal) == Outcome::kUnknown);
}

TEST_CASE("an error reads as code, what happened, what to do") {
  Error error{ErrorCode::kTopicNotFound, "topic a"};
  CHECK(to_string(error) ==
        "TOPIC_NOT_FOUND: topic a; create the topic first: tally topic create NAME");
  error.message.clear();
  CHECK(to_string(error) == "TOPIC_NOT_FOUND: create the topic first: tally topic create NAME");
}

TEST_CASE("value() gives the value or throws the error") {
  CHECK(half(8).value() == 4);
  try {
    static_cast<void>(half(7).value());
    FAIL("nothing was thrown");
  } catch (const Exception& exception) {
    CHECK(exception.error().code == ErrorCode::kInvalidArgument);
    CHECK(std::string_view{exception.what()}.starts_with("INVALID_ARGUMENT: odd; "));
  }
  CHECK_THROWS_AS(Result<void>{Error{}}.value(), Exception);
}

TEST_CASE("TALLY_TRY binds the value or returns the error") {
  CHECK(quarter(8).value() == 2);
  CHECK(quarter(6).error().message == "odd");
  CHECK(check_even(2).has_value());
  CHECK_FALSE(check_even(3).has_value());
}

TEST_CASE("names have 1 to 127 characters out of A-Z a-z 0-9 . _ -") {
  std::string allowed = "ABCXYZabcxyz0189._-";
  CHECK(check_name("topic", allowed).has_value());
  CHECK(check_name("topic", std::string(127, 'a')).has_value());
  for (const std::string& bad : {std::string{}, std::string(128, 'a'), std::string{"a b"}}) {
    auto checked = check_name("topic", bad);
    REQUIRE_FALSE(checked.has_value());
    CHECK(checked.error().code == ErrorCode::kInvalidName);
    CHECK(checked.error().message.starts_with("topic name "));
  }
  for (int byte = 0; byte < 256; ++byte) {
    char character = static_cast<char>(byte);
    bool expected = character != '\0' && (allowed.find(character) != std::string::npos ||
                                          (byte < 128 && std::isalnum(byte) != 0));
    CAPTURE(byte);
    CHECK(check_name("topic", {&character, 1}).has_value() == expected);
  }
}

TEST_CASE("transaction ids have 1 to 255 bytes of any value") {
  CHECK(check_transaction_id(std::string(255, '\0')).has_value());
  CHECK(check_transaction_id("").error().code == ErrorCode::kInvalidArgument);
  CHECK(check_transaction_id(std::string(256, 'a')).error().code == ErrorCode::kFieldTooLong);
}

}  // namespace tally
