#include "tests/states/corruption.h"

#include <algorithm>
#include <array>
#include <optional>

#include "store/segment.h"
#include "tests/states/damage.h"
#include "tests/states/store_machine.h"

namespace tally::testing {
namespace {

using store::ReplayFrom;

constexpr std::uint64_t kCorruptionsPerSpecimen = 40;
constexpr std::size_t kViolationsMax = 5;
constexpr std::size_t kAlignedBody = 384;  // makes an entry of one sector

bool is_damage(const Error& error) {
  return error.code == ErrorCode::kDataDamaged || error.code == ErrorCode::kDataFormat;
}

/// A healthy disk, all of it synced, and the truth about it.
struct Specimen {
  /// Where an entry stands, and what its preamble says was durable. No path: its segment was
  /// removed.
  struct Place {
    std::string path{};
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    Lsn durable{};
  };
  std::unique_ptr<MemoryFileSystem> disk{};
  Machine::IndexKind index{};
  Truth truth{};
  std::vector<Place> places{};
};

void write_mixed(Machine& machine, Dice& dice) {
  const std::size_t steps = 8 + dice.below(10);
  for (std::size_t i = 0; i < steps; ++i) {
    machine.run(static_cast<Step>(dice.below(kSteps))).value();
  }
}

/// Entries of one sector, and checkpoints whose rows make LevelDB's records one sector, too: so
/// that whole ones are exchanged and erased.
void write_aligned(Machine& machine, Dice& dice) {
  const std::size_t entries = 20 + dice.below(60);
  for (std::size_t i = 0; i < entries; ++i) {
    std::string body = "aligned " + std::to_string(i);
    body.resize(kAlignedBody, static_cast<char>('a' + i % 26));
    machine.write({body}).value();
    if (!dice.one_in(5)) machine.run(Step::kCheckpoint).value();
    if (dice.one_in(30)) machine.run(Step::kRestart).value();
    if (dice.one_in(30)) machine.run(Step::kBase).value();
  }
}

Specimen make_specimen(std::uint64_t number) {
  Dice dice(number);
  Specimen made;
  made.index = number % 4 < 2 ? Machine::IndexKind::kMap : Machine::IndexKind::kLevelDb;
  MemoryFileSystem files;
  {
    Machine machine(files, made.index);
    machine.start().value();
    number % 2 == 0 ? write_mixed(machine, dice) : write_aligned(machine, dice);
    made.truth = machine.truth();
  }
  made.disk = files.after_crash({CrashKeeps::Part::kEverything, 0});
  std::vector<Lsn> bases;
  for (const std::string& path : made.disk->paths()) {
    if (!path.starts_with(kLogDirectory)) continue;
    if (const auto base = store::parse_segment_name(path.substr(kLogDirectory.size() + 1))) {
      bases.push_back(*base);
    }
  }
  for (const auto& item : made.truth.entries) {
    const store::EntryHeader& header = item->entry.header();
    if (header.lsn < bases.front()) {
      made.places.emplace_back();
      continue;
    }
    const Lsn base = *std::prev(std::upper_bound(bases.begin(), bases.end(), header.lsn));
    const std::string path = kLogDirectory + "/" + store::segment_name(base);
    const std::uint64_t begin = store::kSegmentHeaderBytes + header.lsn.value - base.value;
    const std::string bytes = made.disk->content(path);
    made.places.push_back({path, begin, begin + header.entry_bytes,
                           store::Preamble::load(bytes.data() + begin).durable});
  }
  return made;
}

class Trial {
 public:
  Trial(const Specimen& specimen, Dice& dice, Corruptions& found)
      : specimen_(specimen),
        truth_(specimen.truth),
        disk_(specimen.disk->after_crash({})),
        dice_(dice),
        found_(found) {}

  Complaint run() {
    const std::array<std::string, 4> places = {kLogDirectory, kLogDirectory, kIndexDirectory,
                                               kBaseDirectory};
    std::string where = places[dice_.below(places.size())];
    if (where == kBaseDirectory && truth_.base == 0) where = kLogDirectory;
    if (where == kIndexDirectory && specimen_.index == Machine::IndexKind::kMap) {
      return wrong_checkpoint();
    }
    if (where == kLogDirectory && dice_.one_in(4)) return while_it_runs();
    damage_.emplace(*disk_, where, dice_);
    return start();
  }

  std::string description() const {
    return damage_ ? damage_->description() : "a wrong checkpoint";
  }

 private:
  bool touched(std::size_t entry) const {
    const Specimen::Place& place = specimen_.places[entry];
    return damage_->touched(place.path, place.begin, place.end);
  }
  bool head_touched(std::size_t entry) const {
    const Specimen::Place& place = specimen_.places[entry];
    return damage_->touched(place.path, place.begin, place.begin + store::kEntryHeadBytes);
  }

  /// A position that is none: refused, or not matched.
  Complaint wrong_checkpoint() {
    ReplayFrom from = truth_.position(truth_.checkpoint);
    // Of a checkpoint that ends where the log begins nothing but the index can be compared.
    if (from.applied == EntryIndex(0) || from.next == first_lsn(*disk_)) return std::nullopt;
    switch (dice_.below(4)) {
      case 0:
        from.applied = EntryIndex(from.applied.value + 1 + dice_.below(3));
        break;
      case 1:
        from.next = Lsn(from.next.value + 8 * (1 + dice_.below(4'000)));
        break;
      case 2:
        from.entry_checksum ^= 1ull << dice_.below(64);
        break;
      default:
        from.log.bytes[dice_.below(16)] ^= 1;
        break;
    }
    Recovered found;
    const auto opened = found.open(*disk_, from);
    if (!opened && !is_damage(opened.error())) return opened.error().message;
    if (opened && found.log) return std::string("a checkpoint that is none was taken");
    return std::nullopt;
  }

  /// Bytes rot under a running process.
  Complaint while_it_runs() {
    Recovered running;
    const std::size_t from = first_lsn(*disk_) == Lsn(0) ? 0 : truth_.checkpoint;
    if (auto opened = running.open(*disk_, truth_.position(from)); !opened) {
      return opened.error().message;
    }
    damage_.emplace(*disk_, kLogDirectory, dice_);
    return read_messages(*running.log, truth_.acknowledged);
  }

  Complaint read_messages(const store::Log& log, std::size_t count) {
    for (std::size_t i = truth_.count_at(log.first()); i < count; ++i) {
      std::string block;
      const OwnedEntry& entry = *truth_.entries[i];
      for (std::size_t record = 0; record < entry.records.size(); ++record) {
        block.clear();
        const auto& header = entry.entry.view().records[record].header;
        const auto read =
            log.reader()->read_block(header.lsn, static_cast<std::uint32_t>(header.record_bytes()),
                                     store::LogReader::Wait::kDisk, block);
        const std::string which = "entry " + std::to_string(i + 1) + ": ";
        if (read && block != entry.blocks[record]) return which + "another message is read";
        if (!read && read.error().code != ErrorCode::kDataDamaged) {
          return which + read.error().message;
        }
        if (!read && !touched(i)) return which + "refused, though it is whole";
      }
    }
    return std::nullopt;
  }

  Complaint start() {
    std::size_t from = 0;
    bool use_index = specimen_.index == Machine::IndexKind::kMap;
    if (use_index) {
      from = truth_.checkpoint;
    } else if (auto wrong = open_index(from, use_index)) {
      return wrong;
    }
    std::size_t base = 0;
    if (auto wrong = read_bases(base)) return wrong;
    if (!use_index || truth_.end(from) < first_lsn(*disk_)) from = base;
    if (truth_.end(from) < first_lsn(*disk_)) {
      ++found_.refused;
      if (damage_->touched_any(kBaseDirectory)) return std::nullopt;
      return std::string("nothing is left to begin with");
    }
    Recovered found;
    if (const auto opened = found.open(*disk_, truth_.position(from)); !opened) {
      return judge_refusal(opened.error());
    }
    if (!found.log) return "a true checkpoint is not taken: " + found.report.mismatch;
    const std::size_t count = from + found.seen.size();
    if (count < truth_.acknowledged) {
      ++found_.cut;
      if (auto wrong = judge_cut(count)) return wrong;
    }
    Truth left = truth_;
    left.entries.resize(count);
    left.acknowledged = count;
    if (auto wrong = compare_entries(found, left, from)) return wrong;
    return read_messages(*found.log, count);
  }

  Complaint judge_refusal(const Error& error) {
    ++found_.refused;
    if (!is_damage(error)) return "refused as no damage: " + error.message;
    if (!damage_->touched_any(kLogDirectory)) return "a whole log is refused: " + error.message;
    if (error.message.find(kLogDirectory + "/") == std::string::npos) {
      return "refused without a file: " + error.message;
    }
    return std::nullopt;
  }

  /// The entries behind `count` are gone: the first of them is damaged, and whatever would say
  /// that it was durable is damaged, too.
  Complaint judge_cut(std::size_t count) const {
    if (!touched(count)) return std::string("a whole entry is gone");
    const Lsn lsn = truth_.end(count);
    for (std::size_t i = count; i < truth_.acknowledged; ++i) {
      if (specimen_.places[i].path != specimen_.places[count].path) {
        return std::string("cut, though a later segment is there");
      }
      if (specimen_.places[i].durable > lsn && !head_touched(i)) {
        return "cut, though entry " + std::to_string(i + 1) + " says that it was durable";
      }
    }
    return std::nullopt;
  }

  Complaint open_index(std::size_t& from, bool& usable) {
    const auto index = store::open_leveldb_index(*disk_, kIndexDirectory);
    usable = index.has_value();
    if (index) {
      const auto wrong = compare_index(**index, from, usable);
      if (wrong) return wrong;
    } else if (!is_damage(index.error()) && index.error().code != ErrorCode::kIo) {
      return "index: " + index.error().message;
    }
    if (usable) return std::nullopt;
    from = 0;
    if (truth_.checkpoint == 0) return std::nullopt;  // there is none
    ++found_.rebuilt;
    if (!damage_->touched_any(kIndexDirectory)) return std::string("a whole index is rebuilt");
    return std::nullopt;
  }

  Complaint compare_index(const store::IndexStore& index, std::size_t& from, bool& usable) const {
    const auto position = index.position();
    usable = position.has_value();
    if (!position) return std::nullopt;
    from = *position ? (*position)->applied.value : 0;
    if (from > truth_.acknowledged || (*position && **position != truth_.position(from))) {
      return std::string("the index has a wrong position");
    }
    usable = *position && index.scan("", "z", [](auto, auto) { return true; }).has_value();
    return usable ? compare_rows(index, truth_, from) : std::nullopt;
  }

  /// The newest base that is whole.
  Complaint read_bases(std::size_t& newest) const {
    const auto positions = store::list_base_positions(*disk_, kBaseDirectory);
    if (!positions) return positions.error().message;
    for (const Lsn position : *positions) {
      const std::size_t count = truth_.count_at(position);
      RowComparison comparison(truth_, count);
      const auto read = store::read_base(*disk_, kBaseDirectory, position, std::ref(comparison));
      if (!read && !is_damage(read.error())) return read.error().message;
      if (!read && !damage_->touched_any(kBaseDirectory)) return read.error().message;
      if (!read && read.error().message.find(kBaseDirectory + "/") == std::string::npos) {
        return "refused without a file: " + read.error().message;
      }
      if (!read) continue;
      if (auto wrong = comparison.end()) return "base: " + *wrong;
      newest = count;
    }
    return std::nullopt;
  }

  const Specimen& specimen_;
  const Truth& truth_;
  const std::unique_ptr<MemoryFileSystem> disk_;
  Dice& dice_;
  Corruptions& found_;
  std::optional<Damage> damage_{};
};

}  // namespace

Corruptions run_corruptions(std::uint64_t count) {
  Corruptions found;
  for (std::uint64_t number = 0; found.corruptions < count; ++number) {
    const Specimen specimen = make_specimen(number);
    Dice dice(number ^ 0xdada);
    for (std::uint64_t i = 0; i < kCorruptionsPerSpecimen; ++i) {
      ++found.corruptions;
      Trial trial(specimen, dice, found);
      if (auto wrong = trial.run()) {
        found.violations.push_back("specimen " + std::to_string(number) + ", corruption " +
                                   std::to_string(i) + ": " + trial.description() + ": " + *wrong);
      }
      if (found.violations.size() >= kViolationsMax) return found;
    }
  }
  return found;
}

}  // namespace tally::testing
