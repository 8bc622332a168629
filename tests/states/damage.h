#pragma once
// One damage to the files of a disk, made from dice, and what it touched.

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/memory_file_system.h"

namespace tally::testing {

class Damage {
 public:
  /// Damages a file whose path begins with `where`.
  Damage(MemoryFileSystem& disk, const std::string& where, Dice& dice);

  /// Whether bytes of [begin, end) are not what they were.
  bool touched(const std::string& path, std::uint64_t begin, std::uint64_t end) const;
  bool touched_any(const std::string& directory) const;
  const std::string& description() const { return description_; }

 private:
  struct Place {
    std::string path{};
    std::uint64_t position = 0;
    std::uint64_t size = 0;
  };
  struct Range {
    std::string path{};
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };
  Place draw_place(const std::vector<std::string>& paths, std::uint64_t unit, Dice& dice) const;
  std::string read(const Place& place) const;
  void overwrite(const Place& place, std::string_view bytes);
  void flip(const Place& place, Dice& dice);
  void cut(const Place& place, Dice& dice);

  MemoryFileSystem& disk_;
  std::vector<Range> ranges_{};
  std::string description_{};
};

}  // namespace tally::testing
