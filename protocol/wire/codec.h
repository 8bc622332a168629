#pragma once
// Between plain request values and the bytes of frames. The only door to protobuf.
//
// A Codec reuses its protobuf objects, so each thread that encodes or decodes has one of its own.

#include <memory>
#include <string>

#include "protocol/base/requests.h"
#include "protocol/wire/frame.h"

namespace tally::wire {

class Codec {
 public:
  Codec();
  ~Codec();
  Codec(const Codec&) = delete;
  Codec& operator=(const Codec&) = delete;

  /// Decodes and validates: lengths, names, ranges, enum values. Unknown kind: UNKNOWN_REQUEST;
  /// undecodable: MALFORMED_REQUEST; otherwise the code of the rule that is broken.
  Result<Request> decode_request(const Frame& frame);
  /// The answer in `frame`; an error answer comes back as its Error. Undecodable: MALFORMED_ANSWER,
  /// whose outcome is unknown, for the request may have taken effect.
  Result<Response> decode_response(const Frame& frame);

  /// Append one frame to `out`. The payload stands in `payload`, or follows through the caller when
  /// `payload_bytes` says so (append_*_header writes everything but the payload).
  void append_request(RequestId id, const Request& request, std::string_view payload,
                      std::string& out);
  void append_response(RequestId id, const Response& response, std::string_view payload,
                       std::string& out);
  void append_response_header(RequestId id, const Response& response, std::size_t payload_bytes,
                              std::string& out);
  void append_error(RequestId id, std::uint8_t kind, const Error& error, std::string& out);

 private:
  struct Messages;
  std::unique_ptr<Messages> messages_;
};

}  // namespace tally::wire
