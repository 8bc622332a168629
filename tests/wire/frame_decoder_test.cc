#include <catch2/catch.hpp>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/limits.h"
#include "protocol/wire/frame.h"

namespace tally::wire {
namespace {

std::string frame(std::uint64_t id, std::string_view header, std::string_view payload,
                  std::uint16_t flags = 0, std::uint8_t kind = 32) {
  std::string out(kFrameHeaderBytes, '\0');
  write_frame_header(out.data(), {kind, flags, RequestId{id}, header, {}}, payload.size());
  return out.append(header).append(payload);
}

// Frames of every shape, one after the other.
std::string stream() {
  return frame(1, "header", "payload") + frame(2, "", "") + frame(3, "header only", "") +
         frame(UINT64_MAX, "", "payload only", kFlagAnswer) +
         frame(5, std::string(300, 'h'), std::string(70, 'p'), kFlagAnswer | kFlagError, 255);
}

struct Seen {
  std::uint64_t id;
  std::uint8_t kind;
  std::uint16_t flags;
  std::string header;
  std::string payload;
  bool operator==(const Seen&) const = default;
};

// What a session does: keep what arrived, take out every whole frame, keep the rest.
class Reader {
 public:
  void feed(std::string_view bytes) {
    buffer_ += bytes;
    std::string_view left = buffer_;
    while (true) {
      FrameDecoder::Step step = decoder_.next(left).value();
      if (!step.frame) {
        CHECK(step.needed > left.size());
        CHECK(step.consumed == 0);
        break;
      }
      const Frame& found = *step.frame;
      seen.push_back({found.request.value, found.kind, found.flags, std::string{found.header},
                      std::string{found.payload}});
      CHECK(step.consumed == step.needed);
      left.remove_prefix(step.consumed);
    }
    buffer_ = left;
  }
  bool drained() const { return buffer_.empty(); }

  std::vector<Seen> seen{};

 private:
  FrameDecoder decoder_{limits::kFrameBytesMax};
  std::string buffer_{};
};

std::vector<Seen> expected() {
  return {{1, 32, 0, "header", "payload"},
          {2, 32, 0, "", ""},
          {3, 32, 0, "header only", ""},
          {UINT64_MAX, 32, kFlagAnswer, "", "payload only"},
          {5, 255, kFlagAnswer | kFlagError, std::string(300, 'h'), std::string(70, 'p')}};
}

ErrorCode error_of(std::string_view bytes, std::size_t max = limits::kFrameBytesMax) {
  auto step = FrameDecoder(max).next(bytes);
  return step ? ErrorCode::kOk : step.error().code;
}

template <typename Field>
std::string with_field(std::string bytes, std::size_t at, Field value) {
  char raw[sizeof value];
  store_le(raw, value);
  return bytes.replace(at, sizeof raw, raw, sizeof raw);
}

}  // namespace

TEST_CASE("a stream cut at any byte gives the same frames") {
  std::string bytes = stream();
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    Reader reader;
    reader.feed(std::string_view{bytes}.substr(0, cut));
    reader.feed(std::string_view{bytes}.substr(cut));
    CAPTURE(cut);
    REQUIRE(reader.seen == expected());
    REQUIRE(reader.drained());
  }
}

TEST_CASE("a stream that arrives byte by byte gives the same frames") {
  std::string bytes = stream();
  Reader reader;
  for (char byte : bytes) reader.feed({&byte, 1});
  CHECK(reader.seen == expected());
  CHECK(reader.drained());
}

TEST_CASE("a frame is given as views into the buffer, its neighbour untouched") {
  std::string bytes = frame(1, "header", "payload") + "next";
  FrameDecoder::Step step = FrameDecoder(limits::kFrameBytesMax).next(bytes).value();
  REQUIRE(step.frame);
  CHECK(step.frame->header.data() == bytes.data() + kFrameHeaderBytes);
  CHECK(step.frame->payload.data() == bytes.data() + kFrameHeaderBytes + 6);
  CHECK(step.consumed == bytes.size() - 4);
}

TEST_CASE("a decoder says how many bytes the frame at the front needs") {
  std::string bytes = frame(1, "header", "payload");
  FrameDecoder decoder(limits::kFrameBytesMax);
  CHECK(decoder.next("").value().needed == kFrameHeaderBytes);
  CHECK(decoder.next(bytes.substr(0, 31)).value().needed == kFrameHeaderBytes);
  CHECK(decoder.next(bytes.substr(0, 32)).value().needed == bytes.size());
  CHECK(decoder.next(bytes.substr(0, bytes.size() - 1)).value().needed == bytes.size());
}

TEST_CASE("bytes that do not begin with the magic are refused at the first wrong byte") {
  CHECK(error_of("GET / HTTP/1.1\r\n") == ErrorCode::kBadFrame);
  CHECK(error_of("\x16\x03\x01") == ErrorCode::kBadFrame);
  CHECK(error_of("T") == ErrorCode::kOk);
  CHECK(error_of("TAL") == ErrorCode::kOk);
  CHECK(error_of("TALK") == ErrorCode::kBadFrame);
  CHECK(error_of(std::string(100, '\0')) == ErrorCode::kBadFrame);
}

TEST_CASE("another version is refused as soon as it is there") {
  CHECK(error_of("TALY\x01") == ErrorCode::kOk);
  CHECK(error_of("TALY\x02") == ErrorCode::kUnsupportedVersion);
  CHECK(error_of(std::string_view{"TALY\x00", 5}) == ErrorCode::kUnsupportedVersion);
}

TEST_CASE("a frame over the limit is refused by its fixed header alone") {
  std::string bytes = frame(1, "header", "payload");
  std::size_t size = bytes.size();
  std::string start = bytes.substr(0, kFrameHeaderBytes);
  CHECK(error_of(bytes, size) == ErrorCode::kOk);
  CHECK(error_of(bytes, size - 1) == ErrorCode::kFrameTooLarge);
  CHECK(error_of(start, size - 1) == ErrorCode::kFrameTooLarge);
  // Lengths whose sum does not fit into 32 bits.
  CHECK(error_of(with_field(start, 16, UINT32_MAX)) == ErrorCode::kFrameTooLarge);
  CHECK(error_of(with_field(start, 20, UINT32_MAX)) == ErrorCode::kFrameTooLarge);
  CHECK(error_of(with_field(with_field(start, 16, UINT32_MAX), 20, UINT32_MAX)) ==
        ErrorCode::kFrameTooLarge);
}

TEST_CASE("frames are small before Hello and larger after it") {
  std::size_t room = limits::kFrameBytesBeforeHelloMax - kFrameHeaderBytes;
  std::string largest = frame(1, std::string(room, 'h'), "");
  std::string larger = frame(1, std::string(room, 'h'), "p");
  FrameDecoder decoder(limits::kFrameBytesBeforeHelloMax);
  CHECK(decoder.next(largest).value().frame.has_value());
  CHECK(decoder.next(larger).error().code == ErrorCode::kFrameTooLarge);
  decoder.set_frame_bytes_max(limits::kFrameBytesMax);
  CHECK(decoder.next(larger).value().frame.has_value());

  std::size_t most = limits::kFrameBytesMax - kFrameHeaderBytes;
  CHECK(decoder.next(frame(1, "", std::string(most, 'p'))).value().frame.has_value());
  CHECK(decoder.next(frame(1, "", std::string(most + 1, 'p'))).error().code ==
        ErrorCode::kFrameTooLarge);
}

TEST_CASE("a flipped bit in the fixed or the protobuf header never gives a frame") {
  std::string_view payload = "payload";
  std::string bytes = frame(7, "header", payload);
  for (std::size_t at = 0; at < bytes.size() - payload.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
      CAPTURE(at, bit);
      auto step = FrameDecoder(limits::kFrameBytesMax).next(flipped);
      REQUIRE((!step || !step->frame));
      if (!step && step.error().code == ErrorCode::kUnsupportedVersion) {
        REQUIRE(at == 4);
      }
    }
  }
}

TEST_CASE("unknown flags are refused, and an error that is no answer") {
  for (int flags = 0; flags < 8; ++flags) {
    bool known = flags == 0 || flags == kFlagAnswer || flags == (kFlagAnswer | kFlagError);
    CAPTURE(flags);
    CHECK(error_of(frame(1, "h", "p", static_cast<std::uint16_t>(flags))) ==
          (known ? ErrorCode::kOk : ErrorCode::kBadFrame));
  }
  CHECK(error_of(frame(1, "h", "p", 0x8000)) == ErrorCode::kBadFrame);
}

}  // namespace tally::wire
