#include "protocol/wire/codec.h"

#include <catch2/catch.hpp>

#include "protocol/base/limits.h"
#include "tests/wire/samples.h"

namespace tally::wire {
namespace {

// The one frame in `bytes`.
Frame frame_of(std::string_view bytes) {
  FrameDecoder::Step step = FrameDecoder(limits::kFrameBytesMax).next(bytes).value();
  REQUIRE(step.frame);
  REQUIRE(step.consumed == bytes.size());
  return *step.frame;
}

template <typename Plain>
void check_request(Codec& codec, RequestKind kind, const Plain& request) {
  std::string bytes;
  codec.append_request(RequestId{11}, request, sample_payload<Plain>(), bytes);
  Frame frame = frame_of(bytes);
  CAPTURE(name(kind));
  CHECK(frame.kind == static_cast<std::uint8_t>(kind));
  CHECK(frame.request == RequestId{11});
  CHECK_FALSE(frame.is_answer());
  CHECK(frame.payload == sample_payload<Plain>());
  CHECK(std::get<Plain>(codec.decode_request(frame).value()) == request);
}

template <typename Plain>
void check_response(Codec& codec, RequestKind kind, const Plain& response) {
  std::string bytes;
  codec.append_response(RequestId{12}, response, sample_payload<Plain>(), bytes);
  Frame frame = frame_of(bytes);
  CAPTURE(name(kind));
  CHECK(frame.kind == static_cast<std::uint8_t>(kind));
  CHECK(frame.request == RequestId{12});
  CHECK(frame.is_answer());
  CHECK_FALSE(frame.is_error());
  CHECK(frame.payload == sample_payload<Plain>());
  CHECK(std::get<Plain>(codec.decode_response(frame).value()) == response);

  std::string header;
  codec.append_response_header(RequestId{12}, response, sample_payload<Plain>().size(), header);
  CHECK(header + std::string{sample_payload<Plain>()} == bytes);
}

// A frame of any header bytes, with a checksum that is right.
struct RawFrame {
  std::string header;
  std::string payload{};
  Frame frame(RequestKind kind, std::uint16_t flags) const {
    return {static_cast<std::uint8_t>(kind), flags, RequestId{1}, header, payload};
  }
  ErrorCode request_error(RequestKind kind) const {
    auto decoded = Codec().decode_request(frame(kind, 0));
    return decoded ? ErrorCode::kOk : decoded.error().code;
  }
  ErrorCode response_error(RequestKind kind, std::uint16_t flags = kFlagAnswer) const {
    auto decoded = Codec().decode_response(frame(kind, flags));
    return decoded ? ErrorCode::kOk : decoded.error().code;
  }
};

const std::string kBrokenHeader = "\x0a\xff";  // field 1, 255 bytes announced and none there

}  // namespace

TEST_CASE("every request comes back from its frame, also when the codec is used again") {
  Codec codec;
  for (int round = 0; round < 2; ++round) {
#define TALLY_REQUEST(Name, kind, sender, lane) \
  check_request(codec, RequestKind::k##Name, sample<Name##Request>());
#include "protocol/base/requests.inc"
#undef TALLY_REQUEST
  }
}

TEST_CASE("every answer comes back from its frame, also when the codec is used again") {
  Codec codec;
  for (int round = 0; round < 2; ++round) {
#define TALLY_REQUEST(Name, kind, sender, lane) \
  check_response(codec, RequestKind::k##Name, sample<Name##Response>());
#include "protocol/base/requests.inc"
#undef TALLY_REQUEST
  }
}

TEST_CASE("nothing of an earlier message shows in a later one") {
  Codec codec;
  check_request(codec, RequestKind::kEnd, sample<EndRequest>());
  check_request(codec, RequestKind::kEnd,
                EndRequest{.transaction = "t", .group = "g", .decision = Decision::kCommit});
  check_request(codec, RequestKind::kSettle, sample<SettleRequest>());
  check_request(codec, RequestKind::kSettle,
                SettleRequest{"t", "g", {{QueueId{9}, Offset{9}, 9, SettleAction::kNack, -1}}});
  check_response(codec, RequestKind::kListTopics, sample<ListTopicsResponse>());
  check_response(codec, RequestKind::kListTopics, ListTopicsResponse{});
  check_response(codec, RequestKind::kPrepare, sample<PrepareResponse>());
  check_response(codec, RequestKind::kPrepare, PrepareResponse{});
}

TEST_CASE("a large answer and a small one after it come back") {
  Codec codec;
  ListTopicsResponse large;
  for (int i = 0; i < 20'000; ++i) large.topics.push_back(sample<CreateTopicResponse>().topic);
  check_response(codec, RequestKind::kListTopics, large);
  check_response(codec, RequestKind::kListTopics, sample<ListTopicsResponse>());
}

TEST_CASE("frames are appended one after the other") {
  Codec codec;
  std::string bytes;
  codec.append_request(RequestId{1}, sample<SendRequest>(), "block", bytes);
  std::size_t first = bytes.size();
  codec.append_request(RequestId{2}, sample<EndRequest>(), {}, bytes);
  CHECK(frame_of(std::string_view{bytes}.substr(0, first)).request == RequestId{1});
  CHECK(frame_of(std::string_view{bytes}.substr(first)).request == RequestId{2});
}

TEST_CASE("every error comes back from its frame, with the decision that stands") {
  Codec codec;
  for (std::uint8_t kind : {std::uint8_t{34}, std::uint8_t{255}}) {
#define TALLY_ERROR(enumerator, name, number, retryable, outcome, hint)     \
  {                                                                         \
    Error error{ErrorCode::enumerator, "what happened \xff"};               \
    if (error.code == ErrorCode::kConflict) error.winner = sample_winner(); \
    std::string bytes;                                                      \
    codec.append_error(RequestId{3}, kind, error, bytes);                   \
    Frame frame = frame_of(bytes);                                          \
    CHECK(frame.kind == kind);                                              \
    CHECK(frame.is_error());                                                \
    CHECK(codec.decode_response(frame).error() == error);                   \
  }
#include <tally/error_codes.inc>
#undef TALLY_ERROR
  }
}

TEST_CASE("an error number of a later version counts as INTERNAL and is named") {
  RawFrame raw{std::string("\x08\xe7\x07", 3)};  // code 999
  Codec codec;
  auto decoded = codec.decode_response(raw.frame(RequestKind::kSend, kFlagAnswer | kFlagError));
  CHECK(decoded.error().code == ErrorCode::kInternal);
  CHECK(decoded.error().message.find("999") != std::string::npos);
}

TEST_CASE("a kind that is not in the list is an unknown request, not a bad frame") {
  CHECK(RawFrame{""}.request_error(static_cast<RequestKind>(0)) == ErrorCode::kUnknownRequest);
  CHECK(RawFrame{""}.request_error(static_cast<RequestKind>(255)) == ErrorCode::kUnknownRequest);
  CHECK(RawFrame{kBrokenHeader}.request_error(static_cast<RequestKind>(99)) ==
        ErrorCode::kUnknownRequest);
}

TEST_CASE("a header that does not decode is a malformed request") {
#define TALLY_REQUEST(Name, kind, sender, lane)                        \
  CHECK(RawFrame{kBrokenHeader}.request_error(RequestKind::k##Name) == \
        ErrorCode::kMalformedRequest);
#include "protocol/base/requests.inc"
#undef TALLY_REQUEST
}

TEST_CASE("an answer that does not decode is malformed, its outcome unknown") {
#define TALLY_REQUEST(Name, kind, sender, lane)                         \
  CHECK(RawFrame{kBrokenHeader}.response_error(RequestKind::k##Name) == \
        ErrorCode::kMalformedAnswer);
#include "protocol/base/requests.inc"
#undef TALLY_REQUEST
  CHECK(RawFrame{kBrokenHeader}.response_error(RequestKind::kSend, kFlagAnswer | kFlagError) ==
        ErrorCode::kMalformedAnswer);
  CHECK(RawFrame{""}.response_error(RequestKind::kSend, kFlagAnswer | kFlagError) ==
        ErrorCode::kMalformedAnswer);  // an error without code
  CHECK(RawFrame{""}.response_error(static_cast<RequestKind>(99)) == ErrorCode::kMalformedAnswer);
  CHECK(RawFrame{""}.response_error(RequestKind::kEnd) == ErrorCode::kMalformedAnswer);  // no state
  CHECK(outcome(ErrorCode::kMalformedAnswer) == Outcome::kUnknown);
}

TEST_CASE("a payload is refused where none belongs") {
  CHECK(RawFrame{"", "x"}.request_error(RequestKind::kPing) == ErrorCode::kMalformedRequest);
  CHECK(RawFrame{"", "x"}.response_error(RequestKind::kPing) == ErrorCode::kMalformedAnswer);
  Codec codec;
  for (std::string_view payload : {"firstsecon", "firstsecond!", ""}) {
    std::string bytes;
    codec.append_response(RequestId{1}, sample<ReceiveResponse>(), payload, bytes);
    CHECK(codec.decode_response(frame_of(bytes)).error().code == ErrorCode::kMalformedAnswer);
  }
}

TEST_CASE("a field of a later version is skipped") {
  Codec codec;
  std::string bytes;
  codec.append_request(RequestId{1}, sample<EndRequest>(), {}, bytes);
  RawFrame raw{std::string{frame_of(bytes).header} + "\xfa\x7f\x03new"};  // field 2047
  auto decoded = codec.decode_request(raw.frame(RequestKind::kEnd, 0));
  CHECK(std::get<EndRequest>(decoded.value()) == sample<EndRequest>());
}

}  // namespace tally::wire
