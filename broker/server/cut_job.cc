#include "broker/server/cut_job.h"

#include <spdlog/spdlog.h>

#include "broker/core/base_rows.h"
#include "store/record_extensions.h"

namespace tally::broker {
namespace {

constexpr std::uint64_t kWalkBytes = 1u << 20;  // of the log per step
constexpr std::size_t kLookUps = 512;           // in the index per step
constexpr std::size_t kForgottenPerWrite = 4'096;
constexpr int kBaseBlocks = 16;  // read per step

bool every_row(std::string_view, std::string_view) { return true; }

}  // namespace

CutJob::CutJob(store::IndexStore& index, const store::Log& log, store::FileSystem& files,
               std::string base_directory, ShardId shard, Counters& counters)
    : index_(index),
      log_(log),
      files_(files),
      base_directory_(std::move(base_directory)),
      shard_(shard),
      counters_(counters),
      removal_(log.removal()) {}

void CutJob::begin(const Cut& cut) {
  cut_ = cut;
  counters_.cut_keep_from = cut.keep_from.value;
  stage_ = Stage::kFind;
  walk_.reset();
  reader_.reset();
  entry_ = nullptr;
  forgotten_.operations.clear();
}

Result<CutJob::Pace> CutJob::step() {
  of_index_ = false;
  switch (stage_) {
    case Stage::kFind:
      return find();
    case Stage::kForget:
      return forget();
    case Stage::kReadBase:
      return read_base();
    case Stage::kBases:
      return remove_base();
    case Stage::kSegments:
      return remove_segments();
    case Stage::kDone:
      break;
  }
  return Pace::kWait;
}

// --- decisions ---

Result<CutJob::Pace> CutJob::find() {
  of_index_ = true;
  TALLY_TRY(const auto row, index_.get(keys::prefix(shard_, keys::Kind::kForgotten)));
  const auto forgotten = keys::decode_forgotten(row);
  if (!forgotten)
    return Error(ErrorCode::kDataDamaged, "index: what was forgotten does not decode");
  // A rebuilt index has no position before its first checkpoint.
  TALLY_TRY(const auto position, index_.position());
  if (!position) return Pace::kWait;
  stage_ = Stage::kReadBase;
  if (*forgotten >= cut_.horizon) return Pace::kStep;
  walk_ = log_.walk(*forgotten, cut_.horizon);
  stage_ = Stage::kForget;
  return Pace::kStep;
}

Result<CutJob::Pace> CutJob::forget() {
  const Lsn begun = walk_->at();
  std::size_t looked_up = 0;
  while (looked_up < kLookUps && walk_->at().value - begun.value < kWalkBytes) {
    if (entry_ == nullptr || record_ == entry_->records.size()) {
      TALLY_TRY(const bool more, next_entry());
      if (!more) {
        TALLY_TRY_VOID(write_forgotten());
        walk_.reset();
        stage_ = Stage::kReadBase;
        return Pace::kStep;
      }
    }
    const store::RecordView& record = entry_->records[record_++];
    if (record.header.type != store::RecordType::kEnd) continue;
    ++looked_up;
    TALLY_TRY_VOID(forget_decision(record));
  }
  if (forgotten_.operations.size() >= kForgottenPerWrite) TALLY_TRY_VOID(write_forgotten());
  return Pace::kStep;
}

/// False: all of them were read.
Result<bool> CutJob::next_entry() {
  for (;;) {
    auto next = walk_->next();
    if (!next && next.error().code == ErrorCode::kDataDamaged) {
      spdlog::error("decisions behind the damage stay in the index: {}", to_string(next.error()));
      continue;
    }
    TALLY_TRY(entry_, std::move(next));
    record_ = 0;
    return entry_ != nullptr;
  }
}

Result<void> CutJob::forget_decision(const store::RecordView& record) {
  const auto end = store::decode<store::EndExtension>(record.header, record.extension);
  if (!end) return {};
  of_index_ = true;
  std::string key = keys::transaction(shard_, keys::Kind::kDecided, end->transaction);
  TALLY_TRY(const auto row, index_.get(key));
  of_index_ = false;
  // The id may stand for a newer transaction.
  if (!row) return {};
  const auto decided_at = end_of_decided(key, *row);
  if (decided_at && *decided_at < cut_.horizon) {
    forgotten_.operations.push_back({.key = std::move(key), .value = {}});
  }
  return {};
}

Result<void> CutJob::write_forgotten() {
  of_index_ = true;
  TALLY_TRY(const auto position, index_.position());
  if (!position) return Error(ErrorCode::kDataDamaged, "index: it has lost its position");
  forgotten_.position = *position;
  // An entry that is not read to its end counts as not read.
  const Lsn before =
      entry_ != nullptr && record_ < entry_->records.size() ? entry_->header.lsn : walk_->at();
  forgotten_.operations.push_back({.key = keys::prefix(shard_, keys::Kind::kForgotten),
                                   .value = keys::encode_forgotten(before)});
  auto written = index_.write(forgotten_);
  forgotten_.operations.pop_back();
  TALLY_TRY_VOID(std::move(written));
  forgotten_.operations.clear();
  of_index_ = false;
  return {};
}

void CutJob::forget_no_more() {
  walk_.reset();
  entry_ = nullptr;
  forgotten_.operations.clear();
  stage_ = Stage::kReadBase;
}

// --- bases ---

Result<CutJob::Pace> CutJob::read_base() {
  const auto read = [&]() -> Result<bool> {
    if (!reader_) {
      TALLY_TRY(reader_, store::BaseReader::open(files_, base_directory_, cut_.horizon));
    }
    for (int block = 0; block < kBaseBlocks; ++block) {
      TALLY_TRY(const bool more, reader_->next_block(every_row));
      if (!more) return false;
    }
    return true;
  };
  const auto more = read();
  if (!more) {
    spdlog::error("bases and segments that are no longer needed stay: {}", to_string(more.error()));
    stage_ = Stage::kDone;
  } else if (!*more) {
    stage_ = Stage::kBases;
  }
  if (stage_ != Stage::kReadBase) reader_.reset();
  return Pace::kStep;
}

Result<CutJob::Pace> CutJob::remove_base() {
  TALLY_TRY(const auto positions, store::list_base_positions(files_, base_directory_));
  counters_.bases = positions.size();
  if (positions.empty() || positions.front() >= cut_.horizon) {
    stage_ = Stage::kSegments;
    removed_before_ = removal_->bytes_removed();
    return Pace::kStep;
  }
  TALLY_TRY_VOID(store::remove_base(files_, base_directory_, positions.front()));
  return Pace::kStep;
}

// --- segments ---

Result<CutJob::Pace> CutJob::remove_segments() {
  TALLY_TRY(const auto next, removal_->step(cut_.keep_from));
  counters_.log_first = log_.first().value;
  if (next == store::SegmentRemoval::Next::kWait) return Pace::kWait;
  if (next == store::SegmentRemoval::Next::kDone) {
    tell();
    stage_ = Stage::kDone;
  }
  return Pace::kStep;
}

void CutJob::tell() const {
  const std::uint64_t bytes = removal_->bytes_removed() - removed_before_;
  if (bytes == 0) return;
  spdlog::info("retention: segments before LSN {} removed ({} MB)", log_.first().value,
               bytes / 1'000'000);
}

}  // namespace tally::broker
