#include "tests/states/crash_states.h"

#include <array>

namespace tally::testing {
namespace {

using store::ReplayFrom;
using Part = CrashKeeps::Part;

constexpr std::size_t kShortSteps = 3;
constexpr std::size_t kShortStepsOfFew = 2;  // when fewer than a million states are wanted
constexpr std::size_t kLongSteps = 12;
constexpr std::uint32_t kImagesOfMany = 8;  // when a million states are wanted
constexpr std::uint64_t kMany = 1'000'000;
constexpr std::uint32_t kShortImages = 3;
constexpr std::uint64_t kLongWorkloadsMin = 40;
constexpr std::uint32_t kLongImages = 4;
constexpr std::uint32_t kLevelDbImages = 6;
constexpr std::uint64_t kLevelDbOneIn = 4;
constexpr std::uint64_t kLevelDbPercentMin = 1;
constexpr std::uint64_t kLevelDbCutAgainOneIn = 6;  // it makes many files at each start
constexpr std::size_t kViolationsMax = 3;

const std::string kReservePath = kLogDirectory + "/" + std::string(store::kReserveName);

constexpr std::array kParts = {Part::kNothing, Part::kEverything, Part::kSectors, Part::kRandom,
                               Part::kWrites,  Part::kNames,      Part::kLater,   Part::kSectors};
const char* name(Part part) {
  static constexpr std::array kNames = {"nothing", "everything", "sectors", "writes",
                                        "names",   "later",      "random"};
  return kNames[static_cast<std::size_t>(part)];
}

std::uint64_t power(std::uint64_t base, std::size_t exponent) {
  return exponent == 0 ? 1 : base * power(base, exponent - 1);
}

/// One state of the disk, and how it came about.
struct State {
  const State* before = nullptr;  ///< the state whose start, or first write, was cut off
  const char* during = "";
  std::uint64_t operation = 0;
  CrashKeeps keeps{};
  int depth() const { return before == nullptr ? 0 : 1 + before->depth(); }
};

std::string describe(const State& state) {
  const std::string earlier =
      state.before == nullptr ? std::string() : describe(*state.before) + "; ";
  return earlier + "power cut after operation " + std::to_string(state.operation) + " of " +
         state.during + ", keeps " + name(state.keeps.part) + " (seed " +
         std::to_string(state.keeps.seed) + ")";
}

/// What happens after a start, or in it.
enum class Follow : std::uint8_t { kCutAgain, kStop, kWrite, kNothing };
Follow follow_of(std::uint64_t die) {
  if (die < 2) return Follow::kCutAgain;
  if (die < 6) return Follow::kStop;
  return die < 10 ? Follow::kWrite : Follow::kNothing;
}

Truth without_checkpoint(Truth truth) {
  truth.checkpoint = 0;
  return truth;
}

class Explorer {
 public:
  explicit Explorer(CrashStates& found) : found_(found) {}

  void run(const Workload& workload) {
    workload_ = &workload;
    ++found_.workloads;
    MemoryFileSystem files;
    Machine machine(files, workload.index);
    machine.set_fill([&](bool full) { files.set_full(full); });
    std::uint64_t operation = 0;
    bool cut = workload.cut_from == 0;
    files.observe([&](FileCall) {
      ++operation;
      if (!cut) return;
      if (machine.is_full() && !*files.exists(kReservePath)) ++found_.moments_on_reserve;
      const State made{.during = "the workload", .operation = operation};
      each_image(files, workload.images, made, [&](MemoryFileSystem& disk, const State& state) {
        judge(disk, machine.truth(), machine.durable_entries(), state);
      });
    });
    Result<void> done = machine.start();
    for (std::size_t i = 0; done && i < workload.steps.size(); ++i) {
      cut = i >= workload.cut_from;
      done = machine.run(workload.steps[i]);
    }
    files.observe({});
    if (!done) complain("without any power cut", done.error().message);
  }

  bool enough() const { return found_.violations.size() >= kViolationsMax; }

 private:
  /// Shows images of this moment; one when they would all be equal.
  template <typename Visit>
  void each_image(const MemoryFileSystem& files, std::uint32_t images, State state, Visit visit) {
    if (enough() || images == 0) return;
    if (files.is_synced()) images = 1;
    const std::uint64_t parent = state.before == nullptr ? 0 : state.before->keeps.seed;
    Dice dice(workload_->number * 0x9e3779b97f4a7c15 + state.operation * 1'000'003 + parent);
    // More images begin with the same ones.
    for (std::uint32_t i = 0; i < images; ++i) {
      state.keeps = {kParts[(state.operation + i) % kParts.size()], dice.next()};
      const auto disk = files.after_crash(state.keeps);
      visit(*disk, state);
    }
  }

  /// Images at an operation that follows a crash.
  std::uint32_t images_again(std::uint64_t seed) const {
    if (workload_->index == Machine::IndexKind::kMap) return 2;
    return Dice(seed).one_in(kLevelDbCutAgainOneIn) ? 1 : 0;
  }

  void complain(const std::string& where, const std::string& what) {
    found_.violations.push_back("workload " + std::to_string(workload_->number) + " (" +
                                testing::describe(*workload_) + "): " + where + ": " + what);
  }

  /// What a start makes of this disk. `durable`: entries that the log called durable when the power
  /// was cut; a checkpoint may hold as many.
  void judge(MemoryFileSystem& disk, const Truth& truth, std::size_t durable, const State& state) {
    ++found_.states;
    if (first_lsn(disk) != Lsn(0)) ++found_.trimmed_states;
    Dice dice(state.keeps.seed ^ 0x5eed);
    const Follow follow = state.depth() < 2 ? follow_of(dice.below(16)) : Follow::kNothing;
    std::uint64_t operation = 0;
    bool damaged = false;               // so that LevelDB is removed
    if (follow == Follow::kCutAgain) {  // during this start
      disk.observe([&](FileCall) {
        const State made{&state, "the start", ++operation};
        each_image(disk, images_again(state.keeps.seed + operation), made,
                   [&](MemoryFileSystem& image, const State& next) {
                     judge(image, damaged ? without_checkpoint(truth) : truth, durable, next);
                   });
      });
    }
    std::size_t from = 0;
    Complaint wrong = begin(disk, truth, durable, dice, from, damaged);
    if (!wrong) wrong = start(disk, truth, from, follow, dice, state);
    if (wrong) complain(describe(state), *wrong);
  }

  /// Finds out where replay begins.
  Complaint begin(MemoryFileSystem& disk, const Truth& truth, std::size_t durable, Dice& dice,
                  std::size_t& from, bool& damaged) {
    std::size_t base = 0;
    if (auto wrong = compare_bases(disk, truth, base)) return wrong;
    if (workload_->index == Machine::IndexKind::kLevelDb) {
      ++found_.leveldb_states;
      auto wrong = open_leveldb(disk, truth, from, damaged);
      if (damaged) ++found_.rebuilds;
      if (truth.end(from) < first_lsn(disk)) from = base;
      return wrong;
    }
    const std::array<std::size_t, 4> positions = {0, base, truth.checkpoint, durable};
    from = positions[dice.below(positions.size())];
    if (truth.end(from) < first_lsn(disk)) from = base;
    return std::nullopt;
  }

  Complaint start(MemoryFileSystem& disk, const Truth& truth, std::size_t from, Follow follow,
                  Dice& dice, const State& state) {
    Recovered found;
    const auto opened = found.open(disk, truth.position(from));
    disk.observe({});
    if (!opened) return "refused: " + opened.error().message;
    if (auto wrong = compare_entries(found, truth, from)) return wrong;
    Truth now = truth;
    now.entries.resize(from + found.seen.size());
    now.acknowledged = now.entries.size();
    const std::size_t checked = dice.one_in(4) ? 0 : now.acknowledged - now.acknowledged / 4;
    if (auto wrong = compare_messages(*found.log, now, checked, now.acknowledged)) return wrong;
    if (follow == Follow::kStop) return stays(disk, now, from);
    if (follow == Follow::kWrite) return goes_on(disk, found, truth, std::move(now), from, state);
    return std::nullopt;
  }

  /// What a start has served is on disk.
  Complaint stays(const MemoryFileSystem& disk, const Truth& truth, std::size_t from) {
    ++found_.states;
    const auto image = disk.after_crash({});
    Recovered again;
    if (auto opened = again.open(*image, truth.position(from)); !opened) {
      return "refused at once: " + opened.error().message;
    }
    if (auto wrong = compare_entries(again, truth, from)) return "at once " + *wrong;
    if (again.report.bytes_cut != 0) return std::string("what was cut came back");
    return std::nullopt;
  }

  /// The next entry takes the place of the first that was lost, and the power is cut again.
  Complaint goes_on(MemoryFileSystem& disk, Recovered& found, const Truth& before, Truth now,
                    std::size_t from, const State& state) {
    const std::size_t kept = now.acknowledged;
    std::size_t bytes = 60;
    if (kept < before.entries.size() && !before.entries[kept]->blocks.empty()) {
      bytes = before.entries[kept]->blocks[0].size() - sizeof(std::uint64_t);
    }
    std::string body = "after " + std::to_string(state.keeps.seed);
    body.resize(bytes, '.');
    auto next = make_entry(EntryIndex(kept + 1), now.end(kept), {body});
    store::Entry* const entries[] = {&next->entry};
    now.entries.push_back(std::move(next));
    std::uint64_t operation = 0;
    disk.observe([&](FileCall) {
      const State made{&state, "the next write", ++operation};
      each_image(disk, images_again(state.keeps.seed + operation), made,
                 [&](MemoryFileSystem& image, const State& after) {
                   judge(image, now, std::max(from, now.count_at(found.log->durable())), after);
                 });
    });
    const auto written = found.log->write(entries);
    disk.observe({});
    if (!written) return "the next write fails: " + written.error().message;
    now.acknowledged = now.entries.size();
    return stays(disk, now, from);
  }

  CrashStates& found_;
  const Workload* workload_ = nullptr;
};

}  // namespace

std::uint64_t short_workloads(std::size_t steps_max) {
  std::uint64_t count = 0;
  for (std::size_t steps = 0; steps <= steps_max; ++steps) count += power(kSteps, steps);
  return count;
}
std::uint64_t short_workloads() { return short_workloads(kShortSteps); }

Workload make_workload(std::uint64_t number) {
  Workload made{.number = number, .steps = {}, .images = kShortImages};
  std::uint64_t rest = number;
  for (std::size_t length = 0; length <= kShortSteps; ++length) {
    if (rest < power(kSteps, length)) {
      for (std::size_t i = 0; i < length; ++i, rest /= kSteps) {
        made.steps.push_back(static_cast<Step>(rest % kSteps));
      }
      made.cut_from = length == 0 ? 0 : length - 1;
      return made;
    }
    rest -= power(kSteps, length);
  }
  Dice dice(number);
  const std::size_t length = kShortSteps + 1 + dice.below(kLongSteps - kShortSteps);
  for (std::size_t i = 0; i < length; ++i) {
    made.steps.push_back(static_cast<Step>(dice.below(kSteps)));
  }
  made.images = kLongImages;
  if (dice.one_in(kLevelDbOneIn)) {
    made.index = Machine::IndexKind::kLevelDb;
    made.images = kLevelDbImages;
    for (std::size_t i = 1; i < length; i += 2) made.steps[i] = Step::kCheckpoint;
  }
  return made;
}

std::string describe(const Workload& workload) {
  std::string text = workload.index == Machine::IndexKind::kLevelDb ? "with LevelDB: " : "";
  for (const Step step : workload.steps) {
    if (!text.empty() && text.back() != ' ') text += ", ";
    text += name(step);
  }
  return text;
}

CrashStates run_crash_states(std::uint64_t states, std::optional<std::uint64_t> only) {
  CrashStates found;
  Explorer explorer(found);
  const bool many = only || states >= kMany;
  const auto run = [&](std::uint64_t number) {
    Workload workload = make_workload(number);
    if (many && number < short_workloads()) workload.images = kImagesOfMany;
    explorer.run(workload);
    return !explorer.enough();
  };
  if (only) {
    run(*only);
    return found;
  }
  const std::uint64_t all_short = short_workloads(many ? kShortSteps : kShortStepsOfFew);
  for (std::uint64_t number = 0; number < all_short; ++number) {
    if (!run(number)) return found;
  }
  const std::uint64_t least = short_workloads() + kLongWorkloadsMin;
  for (std::uint64_t number = short_workloads();
       number < least || found.states < states ||
       found.leveldb_states * 100 < found.states * kLevelDbPercentMin;
       ++number) {
    if (!run(number)) break;
  }
  return found;
}

}  // namespace tally::testing
