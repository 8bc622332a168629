#pragma once
// Integers of 1 to 10 bytes, 7 bits each, lowest first: for the rows of the index.

#include <cstdint>
#include <string>

#include "protocol/base/bytes.h"

namespace tally::broker {

inline void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

/// Small positive and small negative numbers are short.
inline void put_signed_varint(std::string& out, std::int64_t value) {
  const auto raw = static_cast<std::uint64_t>(value);
  put_varint(out, value < 0 ? ~(raw << 1) : raw << 1);
}

/// Zero at the end of the bytes; then the reader is not ok.
inline std::uint64_t get_varint(ByteReader& in) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const auto byte = in.get<std::uint8_t>();
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) break;
  }
  return value;
}

inline std::uint32_t get_varint32(ByteReader& in) {
  return static_cast<std::uint32_t>(get_varint(in));
}

inline std::int64_t get_signed_varint(ByteReader& in) {
  const std::uint64_t raw = get_varint(in);
  return static_cast<std::int64_t>((raw & 1) != 0 ? ~(raw >> 1) : raw >> 1);
}

}  // namespace tally::broker
