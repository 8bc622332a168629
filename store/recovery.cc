#include "store/recovery.h"

#include <algorithm>

#include "protocol/base/fail_point.h"
#include "protocol/base/seeded_bug.h"
#include "store/recovery_rules.h"
#include "store/segment_scan.h"

namespace tally::store {
namespace {

constexpr std::size_t kRepairPieceBytes = 1u << 20;

std::string text(Lsn lsn) { return std::to_string(lsn.value); }

struct Judged {
  Verdict verdict{};
  Later later{};
  Remainder remainder{};
};

class Examiner {
 public:
  Examiner(const Segments& segments, const ExamineOptions& options)
      : segments_(segments), options_(options) {}

  Result<Examined> run() {
    TALLY_TRY(tail_data_end_, segments_.back()->file->data_end());
    TALLY_TRY(const bool matched, find_start());
    if (!matched) return std::move(found_);
    for (; segment_ < segments_.size(); ++segment_) {
      TALLY_TRY(const bool complete, scan_segment());
      if (!complete || !found_.report.mismatch.empty()) break;
    }
    found_.report.checkpoint_matched = found_.report.mismatch.empty();
    if (found_.report.entries_replayed == 0) found_.report.replayed_from = found_.end;
    return std::move(found_);
  }

 private:
  bool mismatch(std::string why) {
    found_.report.mismatch = std::move(why);
    return false;
  }

  /// Sets the position of the first entry to read. False: the checkpoint is not of this log.
  Result<bool> find_start() {
    const ReplayFrom& from = options_.from;
    if (options_.first_look) {
      segment_ = segments_.size() - 1;
      found_.end = segments_.back()->base();
      return true;
    }
    const Segment& first = *segments_.front();
    found_.end = first.base();
    if (options_.from_first) return true;
    if (from.applied == EntryIndex(0)) {
      if (first.base() != Lsn(0)) {
        return Error(ErrorCode::kDataDamaged,
                     first.path + ": segments before LSN " + text(first.base()) + " are missing");
      }
      next_index_ = EntryIndex(1);
      return true;
    }
    if (from.log != first.header.log) return mismatch("it is of another log");
    if (from.next < first.base() || from.next == Lsn(0)) {
      return mismatch("it lies before the log's first entry");
    }
    if (from.next == first.base()) return begin_behind_removed(first);
    // The segment that holds the checkpoint's entry, which ends at from.next.
    const Segment* holder = find_segment(segments_, Lsn(from.next.value - 1));
    while (segments_[segment_].get() != holder) ++segment_;
    found_.end = holder->base();
    if (from.next > limit_of(segment_)) return true;  // the scan tells what is missing
    // The last segment is always read whole, so that nothing is added behind damage.
    if (holder == segments_.back().get()) return true;
    TALLY_TRY(const auto last, skip_to(*holder, from.next));
    if (last && last->index == from.applied && last->checksum == from.entry_checksum) {
      accept_checkpoint(*last);
    }
    return true;
  }

  /// The checkpoint's entry was the last one of a segment that retention removed: all that can be
  /// compared is the index of the entry behind it.
  Result<bool> begin_behind_removed(const Segment& first) {
    const ReplayFrom& from = options_.from;
    SegmentScan scan(first);
    TALLY_TRY(const auto stop, scan.read(first.base(), limit_of(0), std::nullopt, false));
    if (!stop && scan.entry().view.header.index.value != from.applied.value + 1) {
      return mismatch("the log holds another entry behind LSN " + text(from.next));
    }
    found_.last_index = from.applied;
    found_.last_time_ms = from.time_ms;
    next_index_ = EntryIndex(from.applied.value + 1);
    checkpoint_seen_ = true;
    return true;
  }

  void accept_checkpoint(const EntryHeader& last) {
    found_.end = last.end();
    found_.last_index = last.index;
    found_.last_time_ms = last.time_ms;
    found_.durable = last.end();
    next_index_ = EntryIndex(last.index.value + 1);
    checkpoint_seen_ = true;
  }

  Lsn limit_of(std::size_t segment) const {
    return segment + 1 < segments_.size() ? segments_[segment + 1]->base()
                                          : segments_[segment]->limit();
  }

  /// Reads the segment's entries. True: they reach the next segment.
  Result<bool> scan_segment() {
    const Segment& segment = *segments_[segment_];
    const bool is_last = segment_ + 1 == segments_.size();
    const Lsn limit = limit_of(segment_);
    found_.durable = std::max(found_.durable, segment.base());
    std::optional<SegmentScan> scan(std::in_place, segment);
    std::optional<Lsn> doubted;
    while (is_last || found_.end < limit) {
      TALLY_TRY(const auto stop,
                scan->read(found_.end, limit, next_index_, options_.all_blocks || is_last));
      if (stop) {
        auto ended = end_at(*stop);
        if (ended) return false;
        if (doubted == found_.end) return std::move(ended).error();
        // Beside a broker that writes, the witness may be younger than what was read of the stop.
        doubted = found_.end;
        scan.emplace(segment);
        continue;
      }
      TALLY_TRY_VOID(take(segment, scan->entry()));
      if (!found_.report.mismatch.empty()) return false;
    }
    return true;
  }

  Result<void> take(const Segment& segment, const CheckedEntry& entry) {
    const EntryHeader& header = entry.view.header;
    const ReplayFrom& from = options_.from;
    found_.durable = std::max(found_.durable, entry.preamble.durable);
    found_.end = header.end();
    found_.last_index = header.index;
    found_.last_time_ms = header.time_ms;
    next_index_ = EntryIndex(header.index.value + 1);
    if (from.applied != EntryIndex(0) && !checkpoint_seen_) {
      return look_for_checkpoint(header);
    }
    ++found_.report.entries_replayed;
    if (found_.report.entries_replayed == 1) found_.report.replayed_from = header.lsn;
    return options_.visit ? options_.visit(segment, entry) : Result<void>();
  }

  /// Before the checkpoint: the entries are only checked, until one ends where it should.
  Result<void> look_for_checkpoint(const EntryHeader& header) {
    const ReplayFrom& from = options_.from;
    if (header.end() < from.next) return {};
    if (header.end() == from.next && header.index == from.applied &&
        header.checksum == from.entry_checksum) {
      accept_checkpoint(header);
      return {};
    }
    mismatch("the log holds another entry at LSN " + text(from.next));
    return {};
  }

  /// By the checkpoint, or by bases.
  Lsn known_durable() const { return std::max(options_.from.next, options_.durable_for_sure); }

  Result<Judged> judge(Stop stop) const {
    const Segment& segment = *segments_[segment_];
    Judged judged;
    if (segment_ + 1 < segments_.size()) {
      judged.later = Later::kSegment;
    } else {
      TALLY_TRY(judged.remainder, search_remainder(segment, found_.end, tail_data_end_));
      if (found_.end < known_durable()) {
        judged.later = Later::kCheckpoint;
      } else if (judged.remainder.witness) {
        judged.later = Later::kEntry;
      } else {
        judged.later = judged.remainder.used_end == 0 ? Later::kZeros : Later::kNoWitness;
      }
    }
    judged.verdict = recovery_verdict(stop, judged.later);
    return judged;
  }

  std::string describe_witness(const Judged& judged) const {
    switch (judged.later) {
      case Later::kEntry: {
        const Remainder::Witness& witness = *judged.remainder.witness;
        return "the entry at LSN " + text(witness.entry) + " (position " +
               std::to_string(segments_[segment_]->position(witness.entry)) +
               ") says that everything before LSN " + text(witness.durable) + " was durable";
      }
      case Later::kSegment: {
        const Segment& next = *segments_[segment_ + 1];
        return "the next segment " + next.path + " says that everything before LSN " +
               text(next.base()) + " was durable";
      }
      case Later::kCheckpoint:
        return (options_.from.next < options_.durable_for_sure ? "a base" : "the index") +
               (" says that everything before LSN " + text(known_durable()) + " was durable");
      case Later::kZeros:
      case Later::kNoWitness:
        break;
    }
    return "an interrupted write does not leave this";
  }

  Result<void> end_at(Stop stop) {
    if (options_.first_look && stop == Stop::kZeros) return {};
    const Segment& segment = *segments_[segment_];
    const std::uint64_t position = segment.position(found_.end);
    TALLY_TRY(const Judged judged, judge(stop));
    const std::string where = segment.path + ": position " + std::to_string(position) + " (LSN " +
                              text(found_.end) + "): " + std::string(describe(stop));
    switch (judged.verdict) {
      case Verdict::kRefuseFormat:
        return Error(ErrorCode::kDataFormat, where);
      case Verdict::kRefuseDamaged:
        return Error(ErrorCode::kDataDamaged, where + "; " + describe_witness(judged));
      case Verdict::kCut:
        found_.garbage_begin = position;
        found_.garbage_end = std::max(judged.remainder.used_end, position);
        found_.report.bytes_cut = found_.garbage_end - position;
        found_.report.entries_cut_without_witness = judged.remainder.heads;
        return {};
      case Verdict::kServe:
        return {};
    }
    return {};
  }

  const Segments& segments_;
  const ExamineOptions& options_;
  std::uint64_t tail_data_end_ = 0;
  std::size_t segment_ = 0;
  std::optional<EntryIndex> next_index_{};
  bool checkpoint_seen_ = false;
  Examined found_{};
};

Result<void> write_zeroes(File& file, std::uint64_t begin, std::uint64_t end) {
  std::string zeroes(std::min<std::uint64_t>(end - begin, kRepairPieceBytes), '\0');
  while (begin < end) {
    const iovec piece{zeroes.data(), std::min<std::uint64_t>(end - begin, zeroes.size())};
    TALLY_TRY_VOID(file.write(begin, {&piece, 1}));
    begin += piece.iov_len;
  }
  return {};
}

Result<void> write_again(File& file, std::uint64_t begin, std::uint64_t end) {
  std::string bytes(std::min<std::uint64_t>(end - begin, kRepairPieceBytes), '\0');
  while (begin < end) {
    const iovec piece{bytes.data(), std::min<std::uint64_t>(end - begin, bytes.size())};
    TALLY_TRY(const std::size_t got, file.read(begin, bytes.data(), piece.iov_len));
    if (got != piece.iov_len) {
      return Error(ErrorCode::kIo, "the log became shorter while it was recovered");
    }
    TALLY_TRY_VOID(file.write(begin, {&piece, 1}));
    begin += piece.iov_len;
  }
  return {};
}

}  // namespace

Result<Examined> examine_log(const Segments& segments, const ExamineOptions& options) {
  return Examiner(segments, options).run();
}

Result<void> repair_log(FileSystem& files, const std::string& directory, const Segments& segments,
                        const Examined& examined) {
  const Segment& tail = *segments.back();
  if (examined.garbage_begin < examined.garbage_end) {
    TALLY_TRY_VOID(write_zeroes(*tail.file, examined.garbage_begin, examined.garbage_end));
    TALLY_FAIL_POINT("recovery.before_truncate_sync");
    if (!TALLY_SEEDED_BUG("truncation_not_persisted")) TALLY_TRY_VOID(tail.file->sync());
    TALLY_FAIL_POINT("recovery.after_truncate");
  }
  // After a failed sync the cache may hold bytes that the disk lost; nobody would notice until the
  // next power cut. So what no witness proves durable is written and synced once more.
  const Lsn begin = std::max(examined.durable, tail.base());
  if (begin < examined.end && !TALLY_SEEDED_BUG("warm_cache_trusted")) {
    TALLY_TRY_VOID(write_again(*tail.file, tail.position(begin), tail.position(examined.end)));
    TALLY_FAIL_POINT("recovery.before_rewrite_sync");
    TALLY_TRY_VOID(tail.file->sync());
    TALLY_FAIL_POINT("recovery.after_rewrite");
  }
  return files.sync_directory(directory);
}

}  // namespace tally::store
