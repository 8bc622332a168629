#pragma once
// A client that does exactly what a test says: blocking, byte by byte if need be. Every wait has a deadline.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "protocol/base/requests.h"
#include "protocol/wire/codec.h"

namespace tally::testing {

class RawClient {
 public:
  explicit RawClient(const std::string& address);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  /// False when the connection is gone.
  bool send(std::string_view bytes);
  /// Sends the frame and returns its request id.
  RequestId send(const Request& request, std::string_view block = {});
  std::string frame(RequestId id, const Request& request, std::string_view block = {});

  struct Received {
    RequestId id{};
    std::uint8_t kind = 0;
    bool is_answer = false;
    Result<Response> response{Response{}};  ///< of an answer
    Request request{};                      ///< what the broker asks
    std::string payload{};
  };
  /// The next frame; nothing when the broker closed the connection. Fails the test at the deadline.
  std::optional<Received> receive();
  /// Sends and returns its answer; other frames that come before are dropped.
  Received ask(const Request& request, std::string_view block = {});
  /// The response, or throws the error.
  template <typename Response>
  Response get(const Request& request, std::string_view block = {}) {
    return std::get<Response>(ask(request, block).response.value());
  }
  /// The error of the answer, kOk without one.
  ErrorCode error_of(const Request& request, std::string_view block = {}) {
    return code_of(ask(request, block));
  }
  static ErrorCode code_of(const Received& answer) {
    return answer.response ? ErrorCode::kOk : answer.response.error().code;
  }
  HelloResponse hello(std::uint32_t window = 0);
  /// True when the broker closes the connection, whatever it says before.
  bool is_closed_by_peer();

 private:
  int socket_ = -1;
  std::uint64_t next_id_ = 1;
  wire::Codec codec_;
  wire::FrameDecoder decoder_;
  std::string received_;
};

/// A message block with this body.
std::string block_of(std::string body, std::string key = {});

}  // namespace tally::testing
