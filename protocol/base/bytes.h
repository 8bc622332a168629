#pragma once
// Little-endian fields of Tally's formats. ByteWriter appends; ByteReader never reads past its end.

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace tally {

static_assert(std::endian::native == std::endian::little,
              "Tally's formats are little-endian; so are its hosts");

template <std::integral T>
T load_le(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <std::integral T>
void store_le(char* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

/// Appends fields to a string. Strings are written with a length byte (u8) or word (u16) before
/// them.
class ByteWriter {
 public:
  explicit ByteWriter(std::string& out) : out_(out) {}
  template <std::integral T>
  void put(T value) {
    char raw[sizeof(T)];
    store_le(raw, value);
    out_.append(raw, sizeof raw);
  }
  void put_bytes(std::string_view bytes) { out_.append(bytes); }
  /// Length as u8; the caller has checked that it fits.
  void put_string8(std::string_view text) {
    put(static_cast<std::uint8_t>(text.size())), put_bytes(text);
  }
  void put_string16(std::string_view text) {
    put(static_cast<std::uint16_t>(text.size())), put_bytes(text);
  }

 private:
  std::string& out_;
};

/// Reads fields from a view. After the first read past the end ok() is false and every read gives
/// zero or empty.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : left_(bytes) {}
  template <std::integral T>
  T get() {
    std::string_view raw = get_bytes(sizeof(T));
    return raw.empty() ? T{} : load_le<T>(raw.data());
  }
  std::string_view get_bytes(std::size_t size) {
    if (size > left_.size()) {
      ok_ = false;
      left_ = {};
      return {};
    }
    std::string_view taken = left_.substr(0, size);
    left_.remove_prefix(size);
    return taken;
  }
  std::string_view get_string8() { return get_bytes(get<std::uint8_t>()); }
  std::string_view get_string16() { return get_bytes(get<std::uint16_t>()); }
  bool ok() const { return ok_; }
  /// True when everything was read and nothing more: the usual end of a decoder.
  bool done() const { return ok_ && left_.empty(); }
  std::size_t left() const { return left_.size(); }

 private:
  std::string_view left_;
  bool ok_ = true;
};

}  // namespace tally
