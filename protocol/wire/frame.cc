#include "protocol/wire/frame.h"

#include "protocol/base/bytes.h"
#include "protocol/base/checksum.h"

namespace tally::wire {
namespace {

constexpr std::size_t kVersionAt = 4;
constexpr std::size_t kKindAt = 5;
constexpr std::size_t kFlagsAt = 6;
constexpr std::size_t kRequestAt = 8;
constexpr std::size_t kHeaderBytesAt = 16;
constexpr std::size_t kPayloadBytesAt = 20;
constexpr std::size_t kChecksumAt = 24;

std::uint64_t frame_checksum(const char* fixed, std::string_view header) {
  return checksum(header, checksum(std::string_view{fixed, kChecksumAt}));
}

Error bad_frame(const char* why) { return {ErrorCode::kBadFrame, why}; }

// Magic and version are judged by the first bytes: a stranger that sends less than a header shall
// not be waited for.
Result<void> check_start(std::string_view bytes) {
  char magic[sizeof kFrameMagic];
  store_le(magic, kFrameMagic);
  std::string_view expected{magic, std::min(sizeof magic, bytes.size())};
  if (!bytes.starts_with(expected)) return bad_frame("the bytes do not begin with a frame");
  if (bytes.size() > kVersionAt) {
    auto version = static_cast<std::uint8_t>(bytes[kVersionAt]);
    if (version != kFrameVersion) {
      return Error{ErrorCode::kUnsupportedVersion,
                   "the frame has version " + std::to_string(version) + ", not 1"};
    }
  }
  return {};
}

}  // namespace

void write_frame_header(char* to, const Frame& frame, std::size_t payload_bytes) {
  store_le(to, kFrameMagic);
  store_le(to + kVersionAt, kFrameVersion);
  store_le(to + kKindAt, frame.kind);
  store_le(to + kFlagsAt, frame.flags);
  store_le(to + kRequestAt, frame.request.value);
  store_le(to + kHeaderBytesAt, static_cast<std::uint32_t>(frame.header.size()));
  store_le(to + kPayloadBytesAt, static_cast<std::uint32_t>(payload_bytes));
  store_le(to + kChecksumAt, frame_checksum(to, frame.header));
}

Result<FrameDecoder::Step> FrameDecoder::next(std::string_view bytes) const {
  TALLY_TRY_VOID(check_start(bytes));
  Step step;
  if (bytes.size() < kFrameHeaderBytes) {
    step.needed = kFrameHeaderBytes;
    return step;
  }
  const char* fixed = bytes.data();
  std::size_t header_bytes = load_le<std::uint32_t>(fixed + kHeaderBytesAt);
  std::size_t payload_bytes = load_le<std::uint32_t>(fixed + kPayloadBytesAt);
  std::size_t frame_bytes = kFrameHeaderBytes + header_bytes + payload_bytes;
  if (frame_bytes > frame_bytes_max_) {
    return Error{ErrorCode::kFrameTooLarge, "a frame of " + std::to_string(frame_bytes) +
                                                " bytes, at most " +
                                                std::to_string(frame_bytes_max_) + " are allowed"};
  }
  step.needed = frame_bytes;
  if (bytes.size() < frame_bytes) return step;

  Frame& frame = step.frame.emplace();
  frame.kind = load_le<std::uint8_t>(fixed + kKindAt);
  frame.flags = load_le<std::uint16_t>(fixed + kFlagsAt);
  frame.request = RequestId{load_le<std::uint64_t>(fixed + kRequestAt)};
  frame.header = bytes.substr(kFrameHeaderBytes, header_bytes);
  frame.payload = bytes.substr(kFrameHeaderBytes + header_bytes, payload_bytes);
  if (load_le<std::uint64_t>(fixed + kChecksumAt) != frame_checksum(fixed, frame.header)) {
    return bad_frame("the checksum of a frame is wrong");
  }
  if ((frame.flags & ~(kFlagAnswer | kFlagError)) != 0 ||
      (frame.is_error() && !frame.is_answer())) {
    return bad_frame("the flags of a frame are unknown");
  }
  step.consumed = frame_bytes;
  return step;
}

}  // namespace tally::wire
