#include "tests/support/history_json.h"

#include <array>
#include <concepts>
#include <nlohmann/json.hpp>
#include <span>
#include <type_traits>
#include <utility>

#include "tests/support/history_fields.h"

namespace tally::test {
namespace {

using Json = nlohmann::json;

template <typename E>
using EnumNames = std::span<const std::pair<E, std::string_view>>;

constexpr std::array<std::pair<Decision, std::string_view>, 3> kDecisions{
    {{Decision::kCommit, "commit"},
     {Decision::kRollback, "rollback"},
     {Decision::kUnknown, "unknown"}}};
constexpr std::array<std::pair<Decider, std::string_view>, 4> kDeciders{
    {{Decider::kNone, "none"},
     {Decider::kProducer, "producer"},
     {Decider::kCheck, "check"},
     {Decider::kOperator, "operator"}}};
constexpr std::array<std::pair<TransactionState, std::string_view>, 4> kStates{
    {{TransactionState::kPending, "pending"},
     {TransactionState::kParked, "parked"},
     {TransactionState::kCommitted, "committed"},
     {TransactionState::kRolledBack, "rolled-back"}}};
constexpr std::array<std::pair<SettleAction, std::string_view>, 3> kActions{
    {{SettleAction::kAck, "ack"},
     {SettleAction::kNack, "nack"},
     {SettleAction::kDeadLetter, "dead-letter"}}};
constexpr std::array<std::pair<Truth, std::string_view>, 3> kTruths{
    {{Truth::kNone, "none"},
     {Truth::kCommitted, "committed"},
     {Truth::kRolledBack, "rolled-back"}}};
constexpr std::array<std::pair<DigestOf, std::string_view>, 2> kDigests{
    {{DigestOf::kLog, "log"}, {DigestOf::kState, "state"}}};
constexpr std::array<std::pair<ErrorCode, std::string_view>, 1 +
#define TALLY_ERROR(enumerator, name, number, retryable, outcome, hint) 1 +
#include <tally/error_codes.inc>
#undef TALLY_ERROR
                                                                 0>
    kCodes{{
        {ErrorCode::kOk, "OK"},
#define TALLY_ERROR(enumerator, name, number, retryable, outcome, hint) \
  {ErrorCode::enumerator, name},
#include <tally/error_codes.inc>
#undef TALLY_ERROR
    }};

EnumNames<Decision> names_of(Decision) { return kDecisions; }
EnumNames<Decider> names_of(Decider) { return kDeciders; }
EnumNames<TransactionState> names_of(TransactionState) { return kStates; }
EnumNames<SettleAction> names_of(SettleAction) { return kActions; }
EnumNames<Truth> names_of(Truth) { return kTruths; }
EnumNames<DigestOf> names_of(DigestOf) { return kDigests; }
EnumNames<ErrorCode> names_of(ErrorCode) { return kCodes; }

class Writer {
 public:
  explicit Writer(Json& to) : to_(to) {}

  template <typename T>
  void operator()(const char* name, const T& value, const T& absent = T{}) {
    if (value == absent) return;
    if constexpr (std::is_enum_v<T>) {
      for (const auto& [of, text] : names_of(value)) {
        if (of == value) to_[name] = text;
      }
    } else {
      to_[name] = value;
    }
  }

 private:
  Json& to_;
};

class Reader {
 public:
  explicit Reader(const Json& from) : from_(from) {}

  template <typename T>
  void operator()(const char* name, T& value, const T& /*absent*/ = T{}) {
    const auto found = from_.find(name);
    if (found == from_.end()) return;
    ++known_;
    if (!read(*found, value) && error_.empty()) {
      error_ = sentence_of(name, *found);
    }
  }
  const std::string& error() const { return error_; }
  std::size_t known() const { return known_; }

 private:
  static std::string sentence_of(const char* name, const Json& value) {
    return std::string("field '") + name + "' must not be " + value.dump();
  }
  template <typename T>
  static bool read(const Json& from, T& value) {
    if constexpr (std::is_enum_v<T>) {
      if (!from.is_string()) return false;
      for (const auto& [of, text] : names_of(value)) {
        if (from.get_ref<const std::string&>() == text) {
          value = of;
          return true;
        }
      }
      return false;
    } else if constexpr (std::same_as<T, std::string>) {
      if (from.is_string()) value = from.get_ref<const std::string&>();
      return from.is_string();
    } else if constexpr (std::same_as<T, bool>) {
      if (from.is_boolean()) value = from.get<bool>();
      return from.is_boolean();
    } else {
      if (from.is_number_unsigned()) {
        const auto number = from.get<std::uint64_t>();
        if (!std::in_range<T>(number)) return false;
        value = static_cast<T>(number);
        return true;
      }
      if (!from.is_number_integer() || !std::in_range<T>(from.get<std::int64_t>())) return false;
      value = static_cast<T>(from.get<std::int64_t>());
      return true;
    }
  }

  const Json& from_;
  std::size_t known_ = 0;
  std::string error_{};
};

template <std::size_t kAt = 0>
bool make(std::string_view name, EventBody& to) {
  if constexpr (kAt == std::variant_size_v<EventBody>) {
    return false;
  } else {
    using Type = std::variant_alternative_t<kAt, EventBody>;
    if (name != event_name(static_cast<const Type*>(nullptr))) return make<kAt + 1>(name, to);
    to.emplace<kAt>();
    return true;
  }
}

}  // namespace

std::string to_json(const Event& event) {
  Json json = Json::object();
  Writer writer(json);
  writer("at_ms", event.at_ms);
  writer("process", event.process);
  std::visit(
      [&](const auto& what) {
        json["event"] = event_name(&what);
        fields(writer, what);
      },
      event.what);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<Event> event_from_json(std::string_view line) {
  const auto refuse = [](std::string why) {
    return Error(ErrorCode::kInvalidArgument, std::move(why));
  };
  const Json json = Json::parse(line, nullptr, false);
  if (!json.is_object()) return refuse("the line is not a JSON object");
  const auto name = json.find("event");
  if (name == json.end() || !name->is_string()) return refuse("the line names no event");
  Event event;
  if (!make(name->get_ref<const std::string&>(), event.what)) {
    return refuse("there is no event " + name->dump());
  }
  Reader reader(json);
  reader("at_ms", event.at_ms);
  reader("process", event.process);
  std::visit([&](auto& what) { fields(reader, what); }, event.what);
  if (!reader.error().empty()) return refuse(reader.error());
  if (reader.known() + 1 != json.size())
    return refuse("the event has a field that it does not know");
  return event;
}

}  // namespace tally::test
