#include <charconv>
#include <tally/ids.hpp>

namespace tally {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

}  // namespace

template <typename Tag>
std::string Id128<Tag>::to_hex() const {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

template <typename Tag>
std::optional<Id128<Tag>> Id128<Tag>::from_hex(std::string_view text) {
  Id128 id;
  if (text.size() != id.bytes.size() * 2) return std::nullopt;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) {
    int high = hex_value(text[2 * i]);
    int low = hex_value(text[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    id.bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return id;
}

template struct Id128<LogIdTag>;
template struct Id128<StoreIdTag>;

std::string MessageUid::to_string() const { return log.to_hex() + '-' + std::to_string(lsn.value); }

std::optional<MessageUid> MessageUid::from_string(std::string_view text) {
  std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  std::optional<LogId> log = LogId::from_hex(text.substr(0, dash));
  if (!log) return std::nullopt;
  std::string_view digits = text.substr(dash + 1);
  if (digits.size() > 1 && digits.front() == '0') return std::nullopt;  // one text per id
  MessageUid uid{*log, {}};
  auto [end, error] = std::from_chars(digits.begin(), digits.end(), uid.lsn.value);
  if (error != std::errc{} || end != digits.end()) return std::nullopt;
  return uid;
}

}  // namespace tally
