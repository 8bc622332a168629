// Everything that reads bytes from a connection: frames, headers, message blocks.
//
// The first byte of an input chooses: even, the rest is a stream; odd, the rest is one frame {kind,
// flags, u16 header length, header, payload} without the checksums, which no fuzzer would find.

#include <cstddef>
#include <cstdint>

#include "protocol/base/bytes.h"
#include "protocol/base/check.h"
#include "protocol/base/checksum.h"
#include "protocol/base/limits.h"
#include "protocol/base/message_block.h"
#include "protocol/wire/codec.h"

namespace tally::wire {
namespace {

Frame frame_of(std::string_view bytes) {
  auto step = FrameDecoder(SIZE_MAX).next(bytes);
  TALLY_CHECK(step && step->frame && step->consumed == bytes.size());
  return *step->frame;
}

// What decodes must encode to something that decodes to the same.
void check_request(Codec& codec, const Frame& frame) {
  auto request = codec.decode_request(frame);
  if (!request) return;
  std::string bytes;
  codec.append_request(frame.request, *request, frame.payload, bytes);
  auto again = codec.decode_request(frame_of(bytes));
  TALLY_CHECK(again && *again == *request);
}

void check_response(Codec& codec, const Frame& frame) {
  std::string bytes;
  auto response = codec.decode_response(frame);
  if (response) {
    codec.append_response(frame.request, *response, frame.payload, bytes);
    auto again = codec.decode_response(frame_of(bytes));
    TALLY_CHECK(again && *again == *response);
  } else {
    codec.append_error(frame.request, frame.kind, response.error(), bytes);
    auto again = codec.decode_response(frame_of(bytes));
    TALLY_CHECK(!again && again.error() == response.error());
  }
}

void check_block(std::string_view bytes) {
  auto block = MessageBlock::parse(bytes);
  if (!block) return;
  std::string again;
  auto appended = append_message_block(to_message(*block, "topic"), block->born_ms(), again);
  TALLY_CHECK(appended && again == bytes);
}

void check_frame(Codec& codec, const Frame& frame) {
  if (frame.is_answer()) {
    check_response(codec, frame);
  } else {
    check_request(codec, frame);
  }
  check_block(frame.payload);
  if (frame.payload.size() < kMessageBlockTrailerBytes) return;
  std::string repaired{frame.payload};
  char* trailer = repaired.data() + repaired.size() - kMessageBlockTrailerBytes;
  store_le(trailer,
           checksum({repaired.data(), static_cast<std::size_t>(trailer - repaired.data())}));
  check_block(repaired);
}

// Also with the bytes coming one by one, which must give the same end of the story.
void check_stream(Codec& codec, std::string_view bytes) {
  FrameDecoder decoder(limits::kFrameBytesMax);
  while (true) {
    auto step = decoder.next(bytes);
    bool stops = !step || !step->frame;
    for (std::size_t size = 0; size < std::min<std::size_t>(bytes.size(), 64); ++size) {
      auto part = decoder.next(bytes.substr(0, size));
      TALLY_CHECK(part || !step);
      TALLY_CHECK(!part || part->frame || part->needed > size);
    }
    if (stops) return;
    check_frame(codec, *step->frame);
    bytes.remove_prefix(step->consumed);
  }
}

void run(std::string_view input) {
  Codec codec;
  ByteReader reader(input);
  bool is_stream = reader.get<std::uint8_t>() % 2 == 0;
  if (is_stream) return check_stream(codec, reader.get_bytes(reader.left()));
  Frame frame;
  frame.kind = reader.get<std::uint8_t>();
  frame.flags = reader.get<std::uint8_t>() % 4;
  frame.header = reader.get_string16();
  frame.payload = reader.get_bytes(reader.left());
  check_frame(codec, frame);
}

}  // namespace
}  // namespace tally::wire

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tally::wire::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
