#include <charconv>

#include "protocol/net/client.h"

namespace tally::net {

Result<Address> parse_address(std::string_view text) {
  const auto refused = [&] {
    return Error(ErrorCode::kInvalidArgument, "'" + std::string(text) + "' is not HOST:PORT");
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return refused();
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const bool in_brackets = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (in_brackets) host = host.substr(1, host.size() - 2);
  // An IPv6 address without brackets could mean two things.
  if (host.empty() || (!in_brackets && host.find(':') != std::string_view::npos)) return refused();
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size()) return refused();
  return Address{std::string(host), number};
}

}  // namespace tally::net
