#pragma once
// The frame: 32 bytes of header, a protobuf header, a payload of raw message blocks.
//
//    0  u32  magic "TALY"
//    4  u8   version = 1
//    5  u8   kind (requests.inc)
//    6  u16  flags: bit 0 answer, bit 1 the answer is an error
//    8  u64  request id, chosen by the asking side; the answer repeats it
//   16  u32  header length
//   20  u32  payload length
//   24  u64  XXH3-64 of the protobuf header, with the XXH3-64 of bytes 0-23 as its seed (message
//   blocks carry their own)

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tally/result.hpp>

#include "protocol/base/requests.h"

namespace tally::wire {

inline constexpr std::size_t kFrameHeaderBytes = 32;
inline constexpr std::uint32_t kFrameMagic = 0x594C4154;  // "TALY"
inline constexpr std::uint8_t kFrameVersion = 1;
inline constexpr std::uint16_t kFlagAnswer = 1;
inline constexpr std::uint16_t kFlagError = 2;

/// A whole frame: views into the buffer it was decoded from.
struct Frame {
  std::uint8_t kind = 0;  ///< may be one this version does not know
  std::uint16_t flags = 0;
  RequestId request{};
  std::string_view header{};
  std::string_view payload{};
  bool is_answer() const { return (flags & kFlagAnswer) != 0; }
  bool is_error() const { return (flags & kFlagError) != 0; }
};

/// Writes the 32 bytes before `frame.header`; `payload_bytes` says how much follows it, whatever
/// stands in `frame.payload`.
void write_frame_header(char* to, const Frame& frame, std::size_t payload_bytes);

/// Finds whole frames in a byte stream. No socket, no copy, no allocation: the caller owns the
/// buffer and gives what it has.
///
/// Use: next(bytes) gives a frame and `consumed`, or nothing when more bytes are needed (then
/// `needed` says how many the frame at the front wants in all, at least), or an error after which
/// the stream cannot be read on (BAD_FRAME, UNSUPPORTED_VERSION, FRAME_TOO_LARGE). Lengths are
/// checked as soon as the fixed header is there.
class FrameDecoder {
 public:
  explicit FrameDecoder(std::size_t frame_bytes_max) : frame_bytes_max_(frame_bytes_max) {}
  void set_frame_bytes_max(std::size_t bytes) { frame_bytes_max_ = bytes; }

  struct Step {
    std::optional<Frame> frame{};
    std::size_t consumed = 0;
    std::size_t needed = 0;
  };
  Result<Step> next(std::string_view bytes) const;

 private:
  std::size_t frame_bytes_max_;
};

}  // namespace tally::wire
