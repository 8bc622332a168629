#include "tests/states/store_machine.h"

#include <algorithm>

namespace tally::testing {
namespace {

using store::Entry;
using store::EntryHeader;
using store::ReplayFrom;

constexpr std::size_t kSmallBytes = 60;
constexpr std::size_t kBigBytes = 6'000;
constexpr std::size_t kHugeBytes = 21'000;
constexpr std::uint64_t kSectorBytes = 512;
constexpr std::size_t kAlignedValueBytes = 408;
/// Of an entry with one message, besides its body: head, record header, extension, checksum.
constexpr std::uint64_t kOverheadBytes =
    store::kEntryHeadBytes + store::kRecordHeaderBytes + 8 + sizeof(std::uint64_t);

std::string row_key(std::size_t entry) {
  std::string digits = std::to_string(entry);
  return "e" + std::string(8 - std::min<std::size_t>(8, digits.size()), '0') + digits;
}

/// Some rows fill several sectors. That of an entry of one sector makes the record of its
/// checkpoint in LevelDB's log one sector: 7 bytes of header, 12 of the batch, 72 of the position
/// and 13 beside this value.
std::string row_value(const EntryHeader& header) {
  std::string value =
      std::to_string(header.lsn.value) + ":" + std::to_string(header.checksum) + ":";
  const std::size_t filled = 40 + value.size() + header.index.value * 131 % 1'400;
  value.resize(header.entry_bytes == kSectorBytes ? kAlignedValueBytes : filled, 'r');
  return value;
}

std::string at_entry(std::size_t entry) { return "entry " + std::to_string(entry) + ": "; }

}  // namespace

store::LogOptions state_log_options(const std::string& root) {
  store::LogOptions options;
  options.directory = root + "/log";
  options.segment_bytes = kStateSegmentBytes;
  options.new_log_id.bytes.fill(0x5a);
  options.prepare_ahead = false;
  options.reserve_bytes = kStateSegmentBytes;
  return options;
}

ReplayFrom Truth::position(std::size_t count) const {
  if (count == 0) return {};
  const EntryHeader& header = entries[count - 1]->entry.header();
  return {.applied = header.index,
          .next = header.end(),
          .entry_checksum = header.checksum,
          .time_ms = header.time_ms,
          .log = state_log_options().new_log_id};
}

std::size_t Truth::count_at(Lsn lsn) const {
  const auto after = std::upper_bound(
      entries.begin(), entries.end(), lsn,
      [](Lsn value, const auto& item) { return value < item->entry.header().end(); });
  return static_cast<std::size_t>(after - entries.begin());
}

Result<void> Recovered::open(store::FileSystem& files, const ReplayFrom& from,
                             const std::string& root) {
  log.reset();
  seen.clear();
  auto opened = store::Log::open(files, state_log_options(root), from,
                                 [&](const store::EntryView& entry) -> Result<void> {
                                   seen.push_back(entry.header);
                                   return {};
                                 });
  if (!opened) return opened.error();
  report = std::move(opened->report);
  log = std::move(opened->log);
  return {};
}

Complaint compare_entries(const Recovered& found, const Truth& truth, std::size_t from) {
  if (!found.log) return "the checkpoint is refused: " + found.report.mismatch;
  std::size_t count = from;
  for (const EntryHeader& seen : found.seen) {
    ++count;
    if (count > truth.entries.size()) return at_entry(count) + "nobody wrote it";
    const EntryHeader& wanted = truth.entries[count - 1]->entry.header();
    if (seen.index != wanted.index) return at_entry(count) + "out of order";
    if (seen.checksum != wanted.checksum || seen.lsn != wanted.lsn) {
      return at_entry(count) + "not what was written";
    }
  }
  if (count < truth.acknowledged) {
    return "lost: " + std::to_string(truth.acknowledged) + " acknowledged, " +
           std::to_string(count) + " left";
  }
  if (found.log->last_index().value != count || found.log->end() != truth.end(count) ||
      found.log->durable() != truth.end(count)) {
    return std::string("the log's end does not fit its entries");
  }
  return std::nullopt;
}

Complaint compare_messages(const store::Log& log, const Truth& truth, std::size_t from,
                           std::size_t to) {
  const auto reader = log.reader();
  std::string block;
  for (std::size_t i = from; i < to; ++i) {
    const OwnedEntry& entry = *truth.entries[i];
    for (std::size_t record = 0; record < entry.records.size(); ++record) {
      const auto& header = entry.entry.view().records[record].header;
      block.clear();
      const auto read =
          reader->read_block(header.lsn, static_cast<std::uint32_t>(header.record_bytes()),
                             store::LogReader::Wait::kDisk, block);
      if (header.lsn < log.first()) {
        if (read || read.error().code != ErrorCode::kExpired) {
          return at_entry(i + 1) + "it was removed, and is read";
        }
        continue;
      }
      if (!read) return at_entry(i + 1) + read.error().message;
      if (block != entry.blocks[record]) return at_entry(i + 1) + "another message is read";
    }
  }
  return std::nullopt;
}

bool RowComparison::operator()(std::string_view key, std::string_view value) {
  ++rows_;
  if (rows_ > count_ || key != row_key(rows_)) {
    wrong_ = "a row is too much or missing: " + std::string(key);
  } else if (value != row_value(truth_.entries[rows_ - 1]->entry.header())) {
    wrong_ = "another value under " + std::string(key);
  }
  return !wrong_;
}

Complaint RowComparison::end() const {
  if (!wrong_ && rows_ != count_) return std::string("rows are missing from the end");
  return wrong_;
}

Complaint compare_rows(const store::IndexView& index, const Truth& truth, std::size_t count) {
  RowComparison comparison(truth, count);
  if (auto scanned = index.scan("e", "f", std::ref(comparison)); !scanned) {
    return scanned.error().message;
  }
  return comparison.end();
}

Complaint compare_bases(store::FileSystem& files, const Truth& truth, std::size_t& newest) {
  newest = 0;
  const auto bases = store::list_bases(files, kBaseDirectory);
  if (!bases) return "bases: " + bases.error().message;
  for (const store::BaseInfo& base : *bases) {
    newest = base.position.applied.value;
    if (newest > truth.acknowledged || base.position != truth.position(newest)) {
      return std::string("a base that nobody wrote");
    }
    RowComparison comparison(truth, newest);
    if (auto read =
            store::read_base(files, kBaseDirectory, base.position.next, std::ref(comparison));
        !read) {
      return "bases: " + read.error().message;
    }
    if (auto wrong = comparison.end()) return "bases: " + *wrong;
  }
  if (newest < truth.base) return std::string("an acknowledged base is gone");
  const Lsn first = first_lsn(files);
  if (first != Lsn(0) && (bases->empty() || bases->front().oldest_needed < first)) {
    return std::string("segments are gone that a base needs");
  }
  return std::nullopt;
}

Lsn first_lsn(store::FileSystem& files) {
  const auto names = files.list(kLogDirectory);
  if (!names) return Lsn(0);
  for (const std::string& name : *names) {
    if (const auto base = store::parse_segment_name(name)) return *base;
  }
  return Lsn(0);
}

Complaint open_leveldb(store::FileSystem& files, const Truth& truth, std::size_t& from,
                       bool& damaged) {
  from = 0;
  const auto made = files.exists(kIndexDirectory);
  if (!made) return made.error().message;
  const auto index = store::open_leveldb_index(files, kIndexDirectory);
  damaged = !index && index.error().code == ErrorCode::kDataDamaged;
  if (damaged) {
    const auto gone = store::destroy_leveldb_index(files, kIndexDirectory);
    return gone ? Complaint() : gone.error().message;
  }
  if (!index) return index.error().message;
  const auto position = (*index)->position();
  if (!position) return position.error().message;
  if (*position) from = (*position)->applied.value;
  if (*made && from < truth.checkpoint) return std::string("an acknowledged checkpoint is gone");
  if (from > truth.acknowledged) return std::string("a checkpoint that nobody made");
  if (*position && **position != truth.position(from)) return std::string("a wrong position");
  return compare_rows(**index, truth, from);
}

store::IndexBatch make_checkpoint(const Truth& truth, std::size_t from, std::size_t to) {
  store::IndexBatch batch;
  for (std::size_t i = from; i < to; ++i) {
    batch.operations.push_back({row_key(i + 1), row_value(truth.entries[i]->entry.header())});
  }
  batch.position = truth.position(to);
  return batch;
}

const char* name(Step step) {
  switch (step) {
    case Step::kSmall:
      return "small";
    case Step::kBig:
      return "big";
    case Step::kHuge:
      return "huge";
    case Step::kBatch:
      return "batch";
    case Step::kFill:
      return "fill";
    case Step::kRoll:
      return "roll";
    case Step::kMark:
      return "mark";
    case Step::kCheckpoint:
      return "checkpoint";
    case Step::kBase:
      return "base";
    case Step::kTrim:
      return "trim";
    case Step::kSpace:
      return "space";
    case Step::kRestart:
      return "restart";
  }
  return "";
}

Result<void> Machine::start() {
  TALLY_TRY_VOID(files_.make_directories(root_ + "/log"));
  return open();
}

Result<void> Machine::open() {
  removal_.reset();
  now_.log.reset();
  if (kind_ == IndexKind::kMap) {
    if (!index_) index_ = store::make_memory_index();
  } else {
    index_.reset();
    TALLY_TRY(index_, store::open_leveldb_index(files_, root_ + "/index"));
  }
  TALLY_TRY(const auto position, index_->position());
  TALLY_TRY_VOID(now_.open(files_, position.value_or(ReplayFrom{}), root_));
  const std::size_t from = position ? position->applied.value : 0;
  complaint_ = compare_entries(now_, truth_, from);
  if (!complaint_) complaint_ = compare_rows(*index_, truth_, from);
  if (complaint_) return Error(ErrorCode::kInternal, *complaint_);
  truth_.entries.resize(from + now_.seen.size());
  truth_.acknowledged = truth_.entries.size();
  return {};
}

std::size_t Machine::durable_entries() const {
  return now_.log ? truth_.count_at(now_.log->durable()) : truth_.acknowledged;
}

std::string Machine::body(std::size_t bytes) {
  std::string text = "message " + std::to_string(++serial_) + " ";
  text.resize(std::max(bytes, text.size()), static_cast<char>('a' + serial_ % 26));
  return text;
}

std::uint64_t Machine::room() const {
  const std::uint64_t payload = kStateSegmentBytes - store::kSegmentHeaderBytes;
  Lsn base(0);  // of the current segment, in the way the log rolls
  Lsn limit(payload);
  for (const auto& item : truth_.entries) {
    const EntryHeader& header = item->entry.header();
    if (header.end() <= limit) continue;
    base = header.lsn;
    const std::uint64_t pages = (header.entry_bytes + store::kPageBytes - 1) / store::kPageBytes;
    limit = Lsn(base.value + std::max(payload, pages * store::kPageBytes));
  }
  const std::uint64_t left = limit.value - truth_.end(truth_.entries.size()).value;
  return left > kOverheadBytes ? left - kOverheadBytes : 0;
}

Result<void> Machine::write(const std::vector<std::string>& bodies) {
  std::vector<Entry*> entries;
  for (const std::string& text : bodies) {
    auto made = make_entry(EntryIndex(truth_.entries.size() + 1), truth_.end(truth_.entries.size()),
                           text.empty() ? std::vector<std::string>{} : std::vector{text});
    entries.push_back(&made->entry);
    truth_.entries.push_back(std::move(made));
  }
  TALLY_TRY_VOID(now_.log->write(entries));
  truth_.acknowledged = truth_.entries.size();
  return {};
}

Result<void> Machine::write_again() {
  std::vector<Entry*> entries;
  for (std::size_t i = truth_.acknowledged; i < truth_.entries.size(); ++i) {
    entries.push_back(const_cast<Entry*>(&truth_.entries[i]->entry));
  }
  return now_.log->write(entries);
}

Result<void> Machine::checkpoint() {
  TALLY_TRY_VOID(index_->write(make_checkpoint(truth_, truth_.checkpoint, truth_.acknowledged)));
  truth_.checkpoint = truth_.acknowledged;
  return {};
}

Result<void> Machine::base() {
  const ReplayFrom position = truth_.position(truth_.acknowledged);
  TALLY_TRY(store::BaseWriter writer,
            store::BaseWriter::begin(files_, root_ + "/base", ShardId(), position));
  for (std::size_t i = 0; i < truth_.acknowledged; ++i) {
    TALLY_TRY_VOID(writer.add(row_key(i + 1), row_value(truth_.entries[i]->entry.header())));
  }
  TALLY_TRY_VOID(writer.finish(position.next));
  truth_.base = truth_.acknowledged;
  return {};
}

/// In the order that store/README.md gives.
Result<void> Machine::trim() {
  if (truth_.acknowledged == 0) return {};
  if (truth_.checkpoint == 0) TALLY_TRY_VOID(checkpoint());
  if (truth_.base == 0) TALLY_TRY_VOID(base());
  const std::string directory = root_ + "/base";
  TALLY_TRY(const std::vector<Lsn> bases, store::list_base_positions(files_, directory));
  for (std::size_t i = 0; i + 1 < bases.size(); ++i) {
    TALLY_TRY_VOID(store::remove_base(files_, directory, bases[i]));
  }
  if (!removal_) removal_ = now_.log->removal();
  const Lsn keep_from = truth_.end(std::min(truth_.checkpoint, truth_.base));
  auto next = store::SegmentRemoval::Next::kStep;
  while (next == store::SegmentRemoval::Next::kStep) {
    TALLY_TRY(next, removal_->step(keep_from));
  }
  return {};
}

void Machine::change_space() {
  if (!fill_) return;
  full_ = !full_;
  fill_(full_);
  if (!full_) now_.log->retry_space();
}

Result<void> Machine::run(Step step) {
  auto done = run_on_disk(step);
  if (done || !full_ || done.error().code != ErrorCode::kDiskFull) return done;
  if (step == Step::kCheckpoint || step == Step::kBase || step == Step::kTrim) return {};
  full_ = false;
  fill_(false);
  return open();
}

Result<void> Machine::run_on_disk(Step step) {
  switch (step) {
    case Step::kSmall:
      return write({body(kSmallBytes)});
    case Step::kBig:
      return write({body(kBigBytes)});
    case Step::kHuge:
      return write({body(kHugeBytes)});
    case Step::kBatch:
      return write({body(kSmallBytes), body(700), body(kSmallBytes)});
    case Step::kFill:
      return write({body(room())});
    case Step::kRoll:
      return write({body(room() + 1)});
    case Step::kMark:
      return write({std::string()});
    case Step::kCheckpoint:
      return checkpoint();
    case Step::kBase:
      return base();
    case Step::kTrim:
      return trim();
    case Step::kSpace:
      change_space();
      return {};
    case Step::kRestart:
      return open();
  }
  return {};
}

}  // namespace tally::testing
