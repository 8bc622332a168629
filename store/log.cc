#include "store/log.h"

#include <array>
#include <optional>

#include "protocol/base/check.h"
#include "protocol/base/fail_point.h"
#include "protocol/base/random.h"
#include "protocol/base/seeded_bug.h"
#include "store/entry_walk.h"
#include "store/log_reader.h"
#include "store/recovery.h"
#include "store/segment_preparer.h"
#include "store/segment_removal.h"

namespace tally::store {
namespace {

/// So much of the first free part of a log is written with zeroes before it is served.
constexpr std::uint64_t kZeroesAtOpenBytes = 16u << 20;
const std::array<char, kPageBytes> zero_page{};

std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

/// Collects pieces for one pwritev; neighbours in memory become one.
class Gather {
 public:
  void clear() {
    pieces_.clear();
    bytes_ = 0;
  }
  void add(const char* from, std::size_t size) {
    bytes_ += size;
    if (!pieces_.empty()) {
      iovec& last = pieces_.back();
      if (static_cast<const char*>(last.iov_base) + last.iov_len == from) {
        last.iov_len += size;
        return;
      }
    }
    pieces_.push_back(iovec{const_cast<char*>(from), size});
  }
  std::span<const iovec> pieces() const { return pieces_; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  std::vector<iovec> pieces_{};
  std::uint64_t bytes_ = 0;
};

}  // namespace

struct Log::State {
  State(FileSystem& file_system, const LogOptions& log_options)
      : files(file_system), options(log_options), preparer(file_system, log_options) {}

  Result<Segments> open_or_create(const ReplayFrom& from);
  Result<std::shared_ptr<const Segment>> make_segment(Unnamed&& taken, LogId log, Lsn base);
  Result<void> write_zeroes_ahead();
  Result<void> write(std::span<Entry* const> entries);
  Result<void> flush();
  Result<void> roll(std::uint64_t entry_bytes);
  void gather(const Entry& entry);

  FileSystem& files;
  const LogOptions options;
  std::unique_ptr<File> lock{};
  SegmentPreparer preparer;
  std::shared_ptr<SegmentReader> reader{};
  std::shared_ptr<const Segment> tail{};
  Lsn end{};  ///< of what was taken into the gather list; durable() follows with each flush
  EntryIndex last_index{};
  std::int64_t last_time_ms = 0;
  std::optional<Error> failure{};
  Counters counters{};
  Gather pending{};
  /// Preamble and header of each gathered entry.
  std::vector<std::array<char, kEntryHeadBytes>> heads{};
};

Result<Segments> Log::State::open_or_create(const ReplayFrom& from) {
  TALLY_TRY_VOID(files.make_directories(options.directory));
  TALLY_TRY(lock, files.lock(options.directory + "/" + std::string(kLockName)));
  TALLY_TRY(Segments segments,
            open_segments(files, options.directory, options.shard, FileSystem::Mode::kReadWrite));
  if (!segments.empty()) return segments;
  if (from.applied != EntryIndex(0)) {
    return Error(ErrorCode::kDataDamaged,
                 options.directory + ": the log is gone; it is known that everything before LSN " +
                     std::to_string(from.next.value) + " was durable");
  }
  TALLY_TRY(auto taken, preparer.take_first());
  TALLY_TRY(auto made, make_segment(std::move(taken), options.new_log_id, Lsn(0)));
  return Segments{std::move(made)};
}

Result<std::shared_ptr<const Segment>> Log::State::make_segment(Unnamed&& taken, LogId log,
                                                                Lsn base) {
  const SegmentHeader header{
      .log = log, .shard = options.shard, .epoch = random_u64(), .base = base};
  return name_segment(files, options.directory, std::move(taken), header);
}

/// A merely allocated file syncs at half the speed. The preparer does this for later segments.
Result<void> Log::State::write_zeroes_ahead() {
  const std::uint64_t begin = round_up(tail->position(end), kPageBytes);
  const std::uint64_t file_end = tail->file_bytes - tail->file_bytes % kPageBytes;
  if (!options.prepare_ahead || begin >= file_end) return {};
  return tail->file->write_zeroes(begin, std::min(file_end - begin, kZeroesAtOpenBytes));
}

Result<std::optional<Log::Look>> Log::check(FileSystem& files, const LogOptions& options) {
  TALLY_TRY(const bool exists, files.exists(options.directory));
  if (!exists) return std::optional<Look>();
  TALLY_TRY(const Segments segments,
            open_segments(files, options.directory, options.shard, FileSystem::Mode::kRead));
  if (segments.empty()) {
    TALLY_TRY_VOID(SegmentPreparer::check_room(files, options));
    return std::optional<Look>();
  }
  TALLY_TRY_VOID(examine_log(segments, {.first_look = true}));
  const Segment& first = *segments.front();
  return std::optional(Look{.log = first.header.log, .first = first.base()});
}

Result<Log::Opened> Log::open(FileSystem& files, const LogOptions& options, const ReplayFrom& from,
                              const Visitor& visit) {
  auto state = std::make_unique<State>(files, options);
  TALLY_TRY(const Segments segments, state->open_or_create(from));
  if (options.identified) options.identified(segments.front()->header.log);
  // What the process before us wrote may be only in the cache: make it durable, or learn that it
  // cannot be; then look at what the disk has.
  const Segment& tail = *segments.back();
  TALLY_TRY_VOID(tail.file->sync());
  TALLY_TRY_VOID(tail.file->drop_cache());
  const ExamineOptions examine{
      .from = from,
      .durable_for_sure = options.durable_for_sure,
      .visit = [&](const Segment&, const CheckedEntry& entry) { return visit(entry.view); }};
  TALLY_TRY(Examined examined, examine_log(segments, examine));
  TALLY_FAIL_POINT("recovery.after_scan");
  Opened opened{.log = nullptr, .report = std::move(examined.report)};
  if (!opened.report.checkpoint_matched) return opened;
  TALLY_TRY_VOID(repair_log(files, options.directory, segments, examined));

  TALLY_TRY_VOID(remove_gone_segments(files, options.directory));

  state->reader = std::make_shared<SegmentReader>(segments, examined.end);
  state->tail = segments.back();
  state->end = examined.end;
  state->last_index = examined.last_index;
  state->last_time_ms = examined.last_time_ms;
  TALLY_TRY_VOID(state->write_zeroes_ahead());
  TALLY_TRY_VOID(state->preparer.start(state->tail->position(state->end), state->tail->file_bytes));
  opened.log.reset(new Log(std::move(state)));
  return opened;
}

void Log::State::gather(const Entry& entry) {
  const EntryHeader& header = entry.header();
  std::array<char, kEntryHeadBytes>& head = heads.emplace_back();
  Preamble::make(tail->header.epoch, header.lsn, reader->durable(), header.checksum)
      .store(head.data());
  header.store(head.data() + kPreambleBytes);
  pending.add(head.data(), head.size());
  for (const Entry::Piece& piece : entry.pieces()) {
    pending.add(entry.heads().data() + piece.heads_offset, piece.heads_bytes);
    if (!piece.block.empty()) pending.add(piece.block.data(), piece.block.size());
  }
  if (header.padding_bytes != 0) pending.add(zero_page.data(), header.padding_bytes);
  end = header.end();
  last_index = header.index;
  last_time_ms = header.time_ms;
  ++counters.entries;
  counters.records += header.record_count;
  counters.bytes += header.entry_bytes;
}

Result<void> Log::State::flush() {
  const std::uint64_t begin = tail->position(end) - pending.bytes();
  // Up to the end of the page: a page that is written whole need not be read first.
  const std::uint64_t page_end =
      std::min(round_up(tail->position(end), kPageBytes), tail->file_bytes);
  if (page_end > tail->position(end)) {
    pending.add(zero_page.data(), page_end - tail->position(end));
  }
  TALLY_TRY_VOID(as_disk_failure(tail->file->write(begin, pending.pieces())));
  TALLY_FAIL_POINT("log.write.before_sync");
  if (TALLY_SEEDED_BUG("index_ahead_of_log")) reader->set_durable(end);
  Result<void> synced;
  if (!TALLY_SEEDED_BUG("acknowledge_before_sync")) synced = tail->file->sync();
  if (!synced && TALLY_SEEDED_BUG("retried_sync")) synced = tail->file->sync();
  TALLY_TRY_VOID(as_disk_failure(std::move(synced)));
  TALLY_FAIL_POINT("log.write.after_sync");
  ++counters.syncs;
  reader->set_durable(end);
  pending.clear();
  heads.clear();
  return {};
}

Result<void> Log::State::roll(std::uint64_t entry_bytes) {
  TALLY_FAIL_POINT("log.roll.before_create");
  TALLY_TRY(auto taken, preparer.take(round_up(kSegmentHeaderBytes + entry_bytes, kPageBytes)));
  TALLY_TRY(tail, make_segment(std::move(taken), tail->header.log, end));
  reader->add(tail);
  ++counters.rolls;
  return {};
}

Result<void> Log::State::write(std::span<Entry* const> entries) {
  heads.reserve(entries.size());  // the gather list points into it
  for (const Entry* entry : entries) {
    const EntryHeader& header = entry->header();
    TALLY_CHECK(header.entry_bytes != 0 && header.lsn == end);
    TALLY_CHECK(header.index.value == last_index.value + 1);
    if (header.end() > tail->limit()) {
      if (pending.bytes() != 0) TALLY_TRY_VOID(flush());
      TALLY_TRY_VOID(roll(header.entry_bytes));
    }
    gather(*entry);
  }
  if (pending.bytes() != 0) TALLY_TRY_VOID(flush());
  preparer.advance(tail->position(end), tail->file_bytes);
  return {};
}

Log::Log(std::unique_ptr<State> state) : state_(std::move(state)) {}
Log::~Log() = default;

Result<void> Log::write(std::span<Entry* const> entries) {
  if (state_->failure) return *state_->failure;
  auto written = state_->write(entries);
  if (!written) state_->failure = written.error();
  return written;
}

LogId Log::id() const { return state_->tail->header.log; }
Lsn Log::first() const { return state_->reader->first(); }
Lsn Log::end() const { return state_->end; }
EntryIndex Log::last_index() const { return state_->last_index; }
std::int64_t Log::last_time_ms() const { return state_->last_time_ms; }
Lsn Log::durable() const { return state_->reader->durable(); }
std::shared_ptr<const LogReader> Log::reader() const { return state_->reader; }
Space Log::space() const { return state_->preparer.space(); }
void Log::retry_space() { state_->preparer.retry(); }
std::uint64_t Log::segments() const { return state_->reader->segments()->size(); }
std::unique_ptr<SegmentRemoval> Log::removal() const {
  return std::make_unique<SegmentRemoval>(state_->files, state_->options.directory, state_->reader);
}
std::unique_ptr<EntryWalk> Log::walk(Lsn from, Lsn to) const {
  return std::make_unique<EntryWalk>(state_->reader->segments(), from, to);
}
Log::Counters Log::counters() const { return state_->counters; }

}  // namespace tally::store
