#include "protocol/base/requests.h"

#include <array>

#include "protocol/base/check.h"

namespace tally {
namespace {

// By index of the variants Request and Response, less one for monostate.
constexpr std::array kKinds = {
#define TALLY_REQUEST(Name, kind, sender, lane) RequestKind::k##Name,
#include "protocol/base/requests.inc"
#undef TALLY_REQUEST
};

}  // namespace

std::string_view name(RequestKind kind) {
  switch (kind) {
#define TALLY_REQUEST(Name, kind, sender, lane) \
  case RequestKind::k##Name:                    \
    return #Name;
#include "protocol/base/requests.inc"
#undef TALLY_REQUEST
  }
  return "unknown";
}

Lane lane(RequestKind kind) {
  switch (kind) {
#define TALLY_REQUEST(Name, kind, sender, lane) \
  case RequestKind::k##Name:                    \
    return Lane::lane;
#include "protocol/base/requests.inc"
#undef TALLY_REQUEST
  }
  return Lane::kControl;
}

RequestKind kind_of(const Request& request) {
  TALLY_CHECK(request.index() != 0);
  return kKinds[request.index() - 1];
}

RequestKind kind_of(const Response& response) {
  TALLY_CHECK(response.index() != 0);
  return kKinds[response.index() - 1];
}

}  // namespace tally
