#include "tests/states/damage.h"

#include <algorithm>

namespace tally::testing {
namespace {

constexpr std::uint64_t kSectorBytes = 512;
constexpr std::uint64_t kPageBytes = 4096;

bool is_table(const std::string& path) { return path.ends_with(".ldb"); }

}  // namespace

Damage::Damage(MemoryFileSystem& disk, const std::string& where, Dice& dice) : disk_(disk) {
  std::vector<std::string> paths;
  for (const std::string& path : disk.paths()) {
    if (path.starts_with(where) && !disk.content(path).empty()) paths.push_back(path);
  }
  if (paths.empty()) return;
  const std::uint64_t unit = dice.one_in(4) ? kPageBytes : kSectorBytes;
  const Place to = draw_place(paths, unit, dice);
  Place from = draw_place(paths, unit, dice);
  // LevelDB's checksums do not say where a block stands: one in the place of an equally long one of
  // another table is not noticed.
  if (is_table(to.path) && is_table(from.path) && to.position == from.position) from = to;
  const std::string here = to.path + " at " + std::to_string(to.position);
  switch (dice.below(5)) {
    case 0:
      description_ = "a bit flipped in " + here;
      flip(to, dice);
      break;
    case 1:
      description_ = "erased " + here;
      overwrite(to, std::string(to.size, '\0'));
      break;
    case 2: {
      description_ =
          "exchanged " + here + " and " + from.path + " at " + std::to_string(from.position);
      const std::string first = read(to);
      const std::string second = read(from);
      overwrite(to, std::string_view(second).substr(0, to.size));
      overwrite(from, std::string_view(first).substr(0, from.size));
      break;
    }
    case 3:
      description_ =
          "wrote over " + here + " with " + from.path + " at " + std::to_string(from.position);
      overwrite(to, read(from).substr(0, to.size));
      break;
    default:
      description_ = "cut off " + here;
      cut(to, dice);
      break;
  }
}

/// Mostly where there is something.
Damage::Place Damage::draw_place(const std::vector<std::string>& paths, std::uint64_t unit,
                                 Dice& dice) const {
  Place place{.path = paths[dice.below(paths.size())]};
  const std::string content = disk_.content(place.path);
  const std::size_t used = content.find_last_not_of('\0') + 1;
  const std::uint64_t end = used == 0 || dice.one_in(8) ? content.size() : used;
  place.position = dice.below((end + unit - 1) / unit) * unit;
  place.size = std::min<std::uint64_t>(unit, content.size() - place.position);
  return place;
}

std::string Damage::read(const Place& place) const {
  return disk_.content(place.path).substr(place.position, place.size);
}

void Damage::overwrite(const Place& place, std::string_view bytes) {
  const std::string before = read(place);
  disk_.damage(place.path, place.position, bytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (before[i] == bytes[i]) continue;
    const std::uint64_t at = place.position + i;
    if (!ranges_.empty() && ranges_.back().path == place.path && ranges_.back().end == at) {
      ++ranges_.back().end;
    } else {
      ranges_.push_back({place.path, at, at + 1});
    }
  }
}

void Damage::flip(const Place& place, Dice& dice) {
  std::string bytes = read(place);
  char& byte = bytes[dice.below(bytes.size())];
  byte = static_cast<char>(byte ^ (1 << dice.below(8)));
  overwrite(place, bytes);
}

void Damage::cut(const Place& place, Dice& dice) {
  const std::uint64_t kept = place.position + (dice.one_in(2) ? 0 : dice.below(place.size));
  ranges_.push_back({place.path, kept, disk_.content(place.path).size()});
  disk_.cut(place.path, kept);
}

bool Damage::touched(const std::string& path, std::uint64_t begin, std::uint64_t end) const {
  return std::any_of(ranges_.begin(), ranges_.end(), [&](const Range& range) {
    return range.path == path && range.begin < end && begin < range.end;
  });
}

bool Damage::touched_any(const std::string& directory) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [&](const Range& range) { return range.path.starts_with(directory); });
}

}  // namespace tally::testing
