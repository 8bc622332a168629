#include "protocol/wire/codec.h"

#include <limits>

#include "protocol/base/check.h"
#include "protocol/base/limits.h"
#include "protocol/wire/convert.h"

namespace tally::wire {
namespace {

// A reused object keeps the memory of the largest message it ever held; beyond this it is let go.
constexpr std::size_t kKeptHeaderBytesMax = 64u << 10;

template <typename Message>
void release_when_large(Message& message, std::size_t header_bytes) {
  if (header_bytes > kKeptHeaderBytesMax) message = Message{};
}

// Requests with a message block as payload; all others have none.
template <typename Plain>
constexpr bool kCarriesBlock =
    std::is_same_v<Plain, SendRequest> || std::is_same_v<Plain, PrepareRequest>;

Error malformed(std::string why) { return {ErrorCode::kMalformedRequest, std::move(why)}; }

Error malformed_answer(RequestKind kind, std::string_view why) {
  return {ErrorCode::kMalformedAnswer,
          "the answer to " + std::string{name(kind)} + ": " + std::string{why}};
}

template <typename Message>
bool parse(std::string_view header, Message& message) {
  return header.size() <= std::numeric_limits<int>::max() &&
         message.ParseFromArray(header.data(), static_cast<int>(header.size()));
}

template <typename Plain, typename Message>
Result<Request> decode(const Frame& frame, Message& message) {
  if (frame.header.size() > limits::kRequestHeaderBytesMax) {
    return malformed("the header has " + std::to_string(frame.header.size()) + " bytes, at most " +
                     std::to_string(limits::kRequestHeaderBytesMax) + " are allowed");
  }
  if (!kCarriesBlock<Plain> && !frame.payload.empty()) {
    return malformed("this request has no payload");
  }
  if (!parse(frame.header, message)) return malformed("the header does not decode");
  Result<Request> result{Request{std::in_place_type<Plain>}};
  if (auto filled = from_wire(message, *std::get_if<Plain>(&*result)); !filled) {
    return std::move(filled).error();
  }
  return result;
}

// The blocks of an answer to Receive fill its payload; no other answer has one.
template <typename Plain>
bool payload_fits(const Plain& response, std::size_t payload_bytes) {
  std::uint64_t expected = 0;
  if constexpr (std::is_same_v<Plain, ReceiveResponse>) {
    for (const DeliveryHeader& delivery : response.deliveries) expected += delivery.block_bytes;
  }
  return expected == payload_bytes;
}

template <typename Plain, typename Message>
Result<Response> decode_answer(const Frame& frame, Message& message) {
  auto kind = static_cast<RequestKind>(frame.kind);
  if (!parse(frame.header, message)) return malformed_answer(kind, "its header does not decode");
  Result<Response> result{Response{std::in_place_type<Plain>}};
  Plain& response = *std::get_if<Plain>(&*result);
  auto filled = from_wire(message, response);
  release_when_large(message, frame.header.size());
  if (!filled) return malformed_answer(kind, filled.error().message);
  if (!payload_fits(response, frame.payload.size())) {
    return malformed_answer(kind, "its payload has another length than its header says");
  }
  return result;
}

// Appends the fixed header and the protobuf header.
template <typename Plain, typename Message>
void append(std::uint8_t kind, std::uint16_t flags, RequestId id, const Plain& plain,
            Message& message, std::size_t payload_bytes, std::string& out) {
  message.Clear();
  to_wire(plain, message);
  std::size_t header_bytes = message.ByteSizeLong();
  std::size_t start = out.size();
  out.resize(start + kFrameHeaderBytes + header_bytes);
  char* fixed = out.data() + start;
  char* header = fixed + kFrameHeaderBytes;
  message.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(header));
  Frame frame{kind, flags, id, {header, header_bytes}, {}};
  write_frame_header(fixed, frame, payload_bytes);
  release_when_large(message, header_bytes);
}

}  // namespace

struct Codec::Messages {
#define TALLY_REQUEST(Name, kind, sender, lane) \
  pb::Name##Request request_##Name;             \
  pb::Name##Response response_##Name;
#include "protocol/base/requests.inc"
#undef TALLY_REQUEST
  pb::Error error;
};

Codec::Codec() : messages_(std::make_unique<Messages>()) {}
Codec::~Codec() = default;

Result<Request> Codec::decode_request(const Frame& frame) {
  switch (static_cast<RequestKind>(frame.kind)) {
#define TALLY_REQUEST(Name, kind, sender, lane) \
  case RequestKind::k##Name:                    \
    return decode<Name##Request>(frame, messages_->request_##Name);
#include "protocol/base/requests.inc"
#undef TALLY_REQUEST
  }
  return Error{ErrorCode::kUnknownRequest, "kind " + std::to_string(frame.kind)};
}

Result<Response> Codec::decode_response(const Frame& frame) {
  auto kind = static_cast<RequestKind>(frame.kind);
  if (frame.is_error()) {
    Error error;
    if (!parse(frame.header, messages_->error) || !from_wire(messages_->error, error)) {
      return malformed_answer(kind, "its error does not decode");
    }
    return error;
  }
  switch (kind) {
#define TALLY_REQUEST(Name, kind, sender, lane) \
  case RequestKind::k##Name:                    \
    return decode_answer<Name##Response>(frame, messages_->response_##Name);
#include "protocol/base/requests.inc"
#undef TALLY_REQUEST
  }
  return malformed_answer(kind, "kind " + std::to_string(frame.kind));
}

void Codec::append_request(RequestId id, const Request& request, std::string_view payload,
                           std::string& out) {
  auto kind = static_cast<std::uint8_t>(kind_of(request));
  switch (kind_of(request)) {
#define TALLY_REQUEST(Name, number, sender, lane)                                         \
  case RequestKind::k##Name:                                                              \
    append(kind, 0, id, *std::get_if<Name##Request>(&request), messages_->request_##Name, \
           payload.size(), out);                                                          \
    break;
#include "protocol/base/requests.inc"
#undef TALLY_REQUEST
  }
  out.append(payload);
}

void Codec::append_response(RequestId id, const Response& response, std::string_view payload,
                            std::string& out) {
  append_response_header(id, response, payload.size(), out);
  out.append(payload);
}

void Codec::append_response_header(RequestId id, const Response& response,
                                   std::size_t payload_bytes, std::string& out) {
  auto kind = static_cast<std::uint8_t>(kind_of(response));
  switch (kind_of(response)) {
#define TALLY_REQUEST(Name, number, sender, lane)                          \
  case RequestKind::k##Name:                                               \
    append(kind, kFlagAnswer, id, *std::get_if<Name##Response>(&response), \
           messages_->response_##Name, payload_bytes, out);                \
    break;
#include "protocol/base/requests.inc"
#undef TALLY_REQUEST
  }
}

void Codec::append_error(RequestId id, std::uint8_t kind, const Error& error, std::string& out) {
  append(kind, kFlagAnswer | kFlagError, id, error, messages_->error, 0, out);
}

}  // namespace tally::wire
