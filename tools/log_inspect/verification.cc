#include "tools/log_inspect/verification.h"

#include <algorithm>
#include <map>
#include <optional>

#include "store/base.h"
#include "tools/log_inspect/index_copy.h"
#include "tools/log_inspect/lines.h"
#include "tools/log_inspect/log_walk.h"
#include "tools/log_inspect/progress.h"
#include "tools/log_inspect/record_fields.h"
#include "tools/log_inspect/row_fields.h"

namespace tally::tools {
namespace {

using cli::Json;
using store::BaseInfo;
using store::ReplayFrom;

/// What there is to say of the log, the bases, or the index of a shard.
struct Part {
  std::string directory{};
  std::string state{};
  std::size_t files = 0;
  std::uint64_t bytes = 0;
  std::string content{};
  Json numbers = Json::object();
  std::optional<Error> error{};

  void fail(Error found) {
    state = found.code == ErrorCode::kIndexDiffers ? "differs" : "damaged";
    if (!error) error = std::move(found);
  }
};

/// An entry of the log that somebody speaks of by its end.
struct Claim {
  ReplayFrom position{};
  bool confirmed = false;
};

store::FileSystem& files() { return store::real_file_system(); }

std::string text(Lsn lsn) { return std::to_string(lsn.value); }

class ShardVerification {
 public:
  explicit ShardVerification(const ShardPlace& place) : place_(place) {}

  std::vector<Part> run() {
    // What speaks of the log is read before it, so that the log holds all that is spoken of.
    read_index();
    list_bases();
    if (auto verified = verify_log(); !verified) log_.fail(verified.error());
    if (!log_.error) judge_claims();
    std::vector<Part> parts{std::move(log_)};
    if (!place_.base.empty()) parts.push_back(std::move(base_));
    if (!place_.index.empty()) parts.push_back(std::move(index_));
    return parts;
  }

 private:
  void read_index() {
    index_ = Part{.directory = place_.index, .state = "condemned"};
    if (place_.index.empty() || place_.index_condemned) return;
    const auto copy = copy_index(place_.index);
    if (!copy) return index_.fail(index_error(copy.error()));
    index_.files = copy->files;
    index_.bytes = copy->bytes;
    const auto position = copy->index->position();
    if (!position) return index_.fail(index_error(position.error()));
    index_.state = *position ? "matches" : "empty";
    if (*position) index_claim_ = Claim{.position = **position};
  }

  /// The index is derived: whatever is wrong with it, nothing is lost.
  Error index_error(const Error& error) const {
    if (error.code != ErrorCode::kDataDamaged && error.code != ErrorCode::kIo) return error;
    return Error(ErrorCode::kIndexDiffers, place_.index + ": " + error.message);
  }

  void list_bases() {
    base_ = Part{.directory = place_.base, .state = "sound"};
    if (place_.base.empty()) return;
    auto bases = store::list_bases(files(), place_.base);
    if (!bases) return base_.fail(bases.error());
    bases_ = *std::move(bases);
    for (const BaseInfo& base : bases_)
      claims_[base.position.next] = Claim{.position = base.position};
  }

  Result<void> verify_log() {
    log_ = Part{.directory = place_.log, .state = "clean"};
    TALLY_TRY(LogWalk walk, LogWalk::open(place_));
    Progress progress = Progress::on_terminal("checking", walk.bytes());
    const Lsn begin = walk.segments().front()->base();
    auto walked = walk.run(
        [&](const store::Segment& segment, const store::CheckedEntry& entry) -> Result<void> {
          progress.reached(entry.view.header.end().value - begin.value);
          return take(segment, entry.view);
        });
    TALLY_TRY(const store::Examined examined, std::move(walked));
    log_id_ = walk.log();
    first_ = begin;
    end_ = examined.end;
    log_.files = walk.segments().size();
    for (const auto& segment : walk.segments()) log_.bytes += segment->file_bytes;
    if (examined.report.bytes_cut != 0) log_.state = "torn";
    log_.content = std::to_string(entries_) + " entries, " + std::to_string(records_) +
                   " records, " + std::to_string(messages_) + " messages, LSN " + text(first_) +
                   " to " + text(end_);
    log_.numbers = {{"log", log_id_.to_hex()},
                    {"entries", entries_},
                    {"records", records_},
                    {"messages", messages_},
                    {"first_lsn", first_.value},
                    {"end_lsn", end_.value},
                    {"torn_bytes", examined.report.bytes_cut}};
    return {};
  }

  Result<void> take(const store::Segment& segment, const store::EntryView& entry) {
    ++entries_;
    records_ += entry.records.size();
    for (const store::RecordView& record : entry.records) {
      messages_ += record.header.block_bytes != 0 ? 1 : 0;
      if (!decodes(record)) return does_not_decode(segment, record.header);
    }
    confirm(index_claim_, entry.header);
    if (const auto claim = claims_.find(entry.header.end()); claim != claims_.end()) {
      std::optional<Claim> confirmed(claim->second);
      confirm(confirmed, entry.header);
      claim->second = *confirmed;
    }
    return {};
  }

  static void confirm(std::optional<Claim>& claim, const store::EntryHeader& header) {
    if (!claim) return;
    const ReplayFrom& said = claim->position;
    claim->confirmed =
        claim->confirmed || (said.next == header.end() && said.applied == header.index &&
                             said.entry_checksum == header.checksum);
  }

  void judge_claims() {
    if (index_claim_) judge_index(*index_claim_);
    bool rebuilds = first_ == Lsn(0);
    std::uint64_t rows = 0;
    for (const BaseInfo& base : bases_) {
      if (auto judged = judge_base(base, rows); !judged && is_listed(base)) {
        base_.fail(judged.error());
      }
      rebuilds = rebuilds || base.oldest_needed >= first_;
    }
    base_.content = std::to_string(rows) + " rows";
    base_.numbers = {{"rows", rows}};
    if (!bases_.empty()) {
      base_.content += ", newest at LSN " + text(bases_.back().position.next);
      base_.numbers["newest_lsn"] = bases_.back().position.next.value;
    }
    if (!rebuilds && !place_.base.empty() && !base_.error) {
      log_.fail(Error(ErrorCode::kDataDamaged, place_.log + ": begins at LSN " + text(first_) +
                                                   ", and no base stands for what is before"));
    }
  }

  void judge_index(const Claim& claim) {
    const ReplayFrom& position = claim.position;
    index_.content =
        "entry " + std::to_string(position.applied.value) + ", LSN " + text(position.next);
    index_.numbers = {{"entry", position.applied.value}, {"lsn", position.next.value}};
    if (claim.confirmed) return;
    if (position.log != log_id_) {
      return index_.fail(Error(ErrorCode::kIndexDiffers, place_.index + ": is of another log"));
    }
    if (position.next > end_) {
      return log_.fail(Error(ErrorCode::kDataDamaged, place_.log + ": ends at LSN " + text(end_) +
                                                          "; " + place_.index +
                                                          " says that everything before LSN " +
                                                          text(position.next) + " was durable"));
    }
    index_.fail(Error(ErrorCode::kIndexDiffers, place_.index + ": stands at LSN " +
                                                    text(position.next) +
                                                    ", where the log holds another entry or none"));
  }

  /// A broker may have removed it meanwhile.
  bool is_listed(const BaseInfo& base) const {
    const auto listed = store::list_base_positions(files(), place_.base);
    return !listed ||
           std::find(listed->begin(), listed->end(), base.position.next) != listed->end();
  }

  Result<void> judge_base(const BaseInfo& base, std::uint64_t& rows) {
    const Lsn lsn = base.position.next;
    const std::string path = place_.base + "/" + store::lsn_name(lsn, ".base");
    const auto damaged = [&](const std::string& what) {
      return Error(ErrorCode::kDataDamaged, path + ": " + what);
    };
    if (base.shard != place_.shard) {
      return Error(ErrorCode::kDataFormat,
                   path + ": belongs to shard " + std::to_string(base.shard.value));
    }
    if (base.position.log != log_id_) return damaged("belongs to another log");
    if (lsn > end_) return damaged("stands behind the log's end, LSN " + text(end_));
    if (lsn > first_ && !claims_[lsn].confirmed) {
      return damaged("the log holds another entry at LSN " + text(lsn));
    }
    Result<void> understood;
    TALLY_TRY_VOID(store::read_base(files(), place_.base, lsn,
                                    [&](std::string_view key, std::string_view value) {
                                      ++rows;
                                      if (row_fields(key, value)) return true;
                                      understood = damaged("a row does not decode");
                                      return false;
                                    }));
    TALLY_TRY_VOID(std::move(understood));
    TALLY_TRY(const auto file, files().open(path, store::FileSystem::Mode::kRead));
    TALLY_TRY(const std::uint64_t bytes, file->size());
    ++base_.files;
    base_.bytes += bytes;
    return {};
  }

  const ShardPlace& place_;
  Part log_{}, base_{}, index_{};
  std::vector<BaseInfo> bases_{};
  std::map<Lsn, Claim> claims_{};  ///< of the bases
  std::optional<Claim> index_claim_{};
  LogId log_id_{};
  Lsn first_{}, end_{};
  std::uint64_t entries_ = 0, records_ = 0, messages_ = 0;
};

void print(const std::vector<Part>& parts, cli::Format format) {
  cli::Table table({"PART", "STATE", "FILES", "BYTES", "CONTENT"});
  for (const Part& part : parts) {
    table.add({part.directory, part.state, std::to_string(part.files), std::to_string(part.bytes),
               part.content.empty() ? "-" : part.content});
    if (format == cli::Format::kTable) continue;
    Json line = {{"part", part.directory},
                 {"state", part.state},
                 {"files", part.files},
                 {"bytes", part.bytes}};
    line.update(part.numbers);
    print_line(line);
  }
  if (format == cli::Format::kTable) table.print();
}

}  // namespace

Result<void> verify(const std::vector<ShardPlace>& places, cli::Format format) {
  std::vector<Part> parts;
  for (const ShardPlace& place : places) {
    for (Part& part : ShardVerification(place).run()) parts.push_back(std::move(part));
  }
  print(parts, format);
  std::vector<Error> errors;
  for (const Part& part : parts) {
    if (part.error) errors.push_back(*part.error);
  }
  if (errors.empty()) return {};
  for (std::size_t i = 1; i < errors.size(); ++i) cli::print_error(format, errors[i]);
  return errors.front();
}

}  // namespace tally::tools
