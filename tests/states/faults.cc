#include "tests/states/faults.h"

#include <array>

#include "tests/states/store_machine.h"

namespace tally::testing {
namespace {

using IndexKind = Machine::IndexKind;

constexpr std::array kMapSteps = {
    Step::kSmall, Step::kBatch,      Step::kCheckpoint, Step::kRoll,    Step::kBase,
    Step::kHuge,  Step::kRestart,    Step::kMark,       Step::kFill,    Step::kBatch,
    Step::kSmall, Step::kCheckpoint, Step::kTrim,       Step::kRestart, Step::kSmall};
constexpr std::array kLevelDbSteps = {Step::kSmall,   Step::kCheckpoint, Step::kBatch,
                                      Step::kRestart, Step::kSmall,      Step::kCheckpoint,
                                      Step::kBatch,   Step::kCheckpoint};

/// What becomes of the process and its machine after the error.
enum class Aftermath : std::uint8_t {
  kRestart,           ///< a new process on the same page cache
  kRestartKeptCache,  ///< the kernel keeps the pages that it was told to drop
  kPowerCut,
  kPowerCutKeepsAll,
  kPowerCutKeepsSome,
};
constexpr std::array kAftermaths = {Aftermath::kRestart, Aftermath::kRestartKeptCache,
                                    Aftermath::kPowerCut, Aftermath::kPowerCutKeepsAll,
                                    Aftermath::kPowerCutKeepsSome};

std::string describe(const Fault& fault, Aftermath aftermath) {
  return std::string(name(*fault.call)) + " " + std::to_string(fault.number) +
         (fault.for_ever ? " and all later ones" : "") +
         (fault.code == ErrorCode::kIo ? " with an I/O error" : " without room") +
         (fault.half_written ? ", half written" : "") + ", aftermath " +
         std::to_string(static_cast<int>(aftermath)) + ": ";
}

class FaultRun {
 public:
  FaultRun(IndexKind kind, const Fault& fault) : kind_(kind), fault_(fault) {}

  /// The workload until the process has to end.
  Complaint run() {
    files_->inject(fault_);
    Machine machine(*files_, kind_);
    Complaint wrong = work(machine);
    truth_ = machine.truth();
    met_ = met_ || files_->failed();
    return wrong;
  }
  bool met() const { return met_; }  ///< whether the call was made at all

  Complaint check(Aftermath aftermath) {
    files_->heal();
    const CrashKeeps some{CrashKeeps::Part::kRandom, fault_.number};
    const CrashKeeps all{CrashKeeps::Part::kEverything, 0};
    if (aftermath == Aftermath::kPowerCut) files_ = files_->after_crash({});
    if (aftermath == Aftermath::kPowerCutKeepsAll) files_ = files_->after_crash(all);
    if (aftermath == Aftermath::kPowerCutKeepsSome) files_ = files_->after_crash(some);
    files_->set_cache_kept(aftermath == Aftermath::kRestartKeptCache);
    std::size_t from = 0;
    bool damaged = false;
    if (kind_ == IndexKind::kMap) {
      from = truth_.checkpoint;
    } else if (auto wrong = open_leveldb(*files_, truth_, from, damaged)) {
      return wrong;
    }
    std::size_t base = 0;
    if (auto wrong = compare_bases(*files_, truth_, base)) return wrong;
    Recovered found;
    if (auto wrong = start(found, from)) return wrong;
    truth_.entries.resize(from + found.seen.size());
    truth_.acknowledged = truth_.entries.size();
    if (auto wrong = compare_messages(*found.log, truth_, 0, truth_.acknowledged)) return wrong;
    found.log.reset();
    files_ = files_->after_crash({});
    if (auto wrong = start(found, from)) return "after another power cut " + *wrong;
    return std::nullopt;
  }

 private:
  Complaint work(Machine& machine) {
    Result<void> done = machine.start();
    const auto run_all = [&](const auto& steps) -> Complaint {
      for (const Step step : steps) {
        if (!done) break;
        done = machine.run(step);
        if (done || machine.complaint()) continue;
        const bool optional =
            step == Step::kCheckpoint || step == Step::kBase || step == Step::kTrim;
        if (optional && done.error().code == ErrorCode::kDiskFull) {
          done = Result<void>();
        } else if (!optional && step != Step::kRestart) {
          if (auto wrong = is_final(machine, done.error())) return wrong;
        }
      }
      return machine.complaint();
    };
    return kind_ == IndexKind::kMap ? run_all(kMapSteps) : run_all(kLevelDbSteps);
  }

  /// After an error of write() every later one fails alike, and touches no file.
  Complaint is_final(Machine& machine, const Error& error) {
    met_ = met_ || files_->failed();
    files_->heal();
    const std::uint64_t operations = files_->operations();
    const auto again = machine.write_again();
    if (again) return std::string("a write after a failed one is acknowledged");
    if (again.error().code != error.code || files_->operations() != operations) {
      return std::string("a write after a failed one is tried");
    }
    return std::nullopt;
  }

  Complaint start(Recovered& found, std::size_t from) {
    if (auto opened = found.open(*files_, truth_.position(from)); !opened) {
      return "refused: " + opened.error().message;
    }
    return compare_entries(found, truth_, from);
  }

  const IndexKind kind_;
  const Fault fault_;
  std::unique_ptr<MemoryFileSystem> files_ = std::make_unique<MemoryFileSystem>();
  Truth truth_{};
  bool met_ = false;
};

std::vector<Fault> faults_of(FileCall call, std::uint64_t number) {
  std::vector<Fault> faults;
  for (const ErrorCode code : {ErrorCode::kIo, ErrorCode::kDiskFull}) {
    for (const bool for_ever : {false, true}) {
      const Fault fault{.number = number, .code = code, .for_ever = for_ever, .call = call};
      faults.push_back(fault);
      if (call != FileCall::kWrite) continue;
      faults.push_back(fault);
      faults.back().half_written = true;
    }
  }
  return faults;
}

}  // namespace

Faults run_faults(bool with_leveldb) {
  const IndexKind kind = with_leveldb ? IndexKind::kLevelDb : IndexKind::kMap;
  Faults found;
  for (std::size_t kind_of_call = 0; kind_of_call < kFileCalls; ++kind_of_call) {
    const auto call = static_cast<FileCall>(kind_of_call);
    // As many as a run without a fault makes: a number that is not reached ends the search.
    bool reached = true;
    for (std::uint64_t number = 0; reached; ++number) {
      reached = false;
      for (const Fault& fault : faults_of(call, number)) {
        ++found.faults;
        for (const Aftermath aftermath : kAftermaths) {
          FaultRun run(kind, fault);
          Complaint wrong = run.run();
          reached = reached || run.met();
          if (!wrong) wrong = run.check(aftermath);
          if (wrong) found.violations.push_back(describe(fault, aftermath) + *wrong);
        }
      }
      if (found.violations.size() >= 3) return found;
    }
  }
  return found;
}

}  // namespace tally::testing
