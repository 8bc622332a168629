#include "tools/log_inspect/rebuild_comparison.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>

#include "broker/core/broker_core.h"
#include "broker/core/index_keys.h"
#include "broker/core/lasting_rows.h"
#include "store/base.h"
#include "store/recovery.h"
#include "tools/log_inspect/index_copy.h"
#include "tools/log_inspect/lines.h"
#include "tools/log_inspect/progress.h"
#include "tools/log_inspect/row_cursor.h"
#include "tools/log_inspect/row_fields.h"

namespace tally::tools {
namespace {

using broker::BrokerCore;
using cli::Json;
using store::ReplayFrom;

constexpr std::size_t kDifferencesShownMax = 10;
constexpr std::size_t kBaseBatchRows = 4096;

store::FileSystem& files() { return store::real_file_system(); }

std::string text(Lsn lsn) { return std::to_string(lsn.value); }

std::uint64_t row_bytes(std::string_view key, std::string_view value) {
  return key.size() + value.size();
}

/// The state that log and bases give, as rows of an index of its own.
class Rebuilt {
 public:
  Rebuilt(const ShardPlace& place, const ReplayFrom& until) : place_(place), until_(until) {}

  Result<void> make() {
    TALLY_TRY(segments_, store::open_segments(files(), place_.log, place_.shard,
                                              store::FileSystem::Mode::kRead));
    if (segments_.empty()) {
      return Error(ErrorCode::kInvalidArgument, place_.log + ": no segments of a log");
    }
    TALLY_TRY(TemporaryFolder made, TemporaryFolder::make());
    folder_.emplace(std::move(made));
    TALLY_TRY(index_, store::open_leveldb_index(files(), folder_->path().string()));
    TALLY_TRY_VOID(begin());
    core_ = std::make_unique<BrokerCore>(broker::CoreOptions{}, place_.shard,
                                         segments_.front()->header.log);
    TALLY_TRY_VOID(core_->restore(*index_));
    TALLY_TRY_VOID(replay());
    TALLY_TRY_VOID(core_->complete());
    return checkpoint();
  }

  const store::IndexStore& index() const { return *index_; }
  /// Of all rows, about.
  std::uint64_t bytes() const { return bytes_; }
  Lsn from() const { return from_.next; }
  std::uint64_t entries() const { return entries_; }

 private:
  /// The log's first entry, or else the oldest base from which the log goes on.
  Result<void> begin() {
    const Lsn first = segments_.front()->base();
    if (first == Lsn(0)) return {};
    std::vector<store::BaseInfo> bases;
    if (!place_.base.empty()) {
      TALLY_TRY(bases, store::list_bases(files(), place_.base));
    }
    const auto base = std::find_if(bases.begin(), bases.end(), [&](const store::BaseInfo& item) {
      return item.oldest_needed >= first;
    });
    if (base == bases.end()) {
      return Error(ErrorCode::kDataDamaged, place_.log + ": begins at LSN " + text(first) +
                                                ", and no base stands for what is before");
    }
    if (base->position.applied > until_.applied) {
      return Error(
          ErrorCode::kIndexDiffers,
          place_.index + ": stands before the oldest base, LSN " + text(base->position.next));
    }
    from_ = base->position;
    return load(from_.next);
  }

  Result<void> load(Lsn base) {
    store::IndexBatch batch{.position = from_};
    Result<void> written;
    const auto flush = [&] {
      written = write(batch);
      batch.operations.clear();
      return written.has_value();
    };
    TALLY_TRY_VOID(store::read_base(
        files(), place_.base, base, [&](std::string_view key, std::string_view value) {
          batch.operations.push_back({.key = std::string(key), .value = std::string(value)});
          return batch.operations.size() < kBaseBatchRows || flush();
        }));
    TALLY_TRY_VOID(std::move(written));
    return write(batch);
  }

  Result<void> replay() {
    const Lsn begin = from_.next;
    reached_ = from_ == until_;
    Progress progress = Progress::on_terminal("rebuilding", until_.next.value - begin.value);
    const store::ExamineOptions options{
        .from = from_,
        .visit = [&](const store::Segment&, const store::CheckedEntry& entry) -> Result<void> {
          progress.reached(entry.view.header.end().value - begin.value);
          return apply(entry.view);
        }};
    TALLY_TRY(const store::Examined examined, store::examine_log(segments_, options));
    if (!examined.report.checkpoint_matched) {
      return Error(ErrorCode::kDataDamaged,
                   place_.base + ": the base at LSN " + text(begin) +
                       " does not match the log: " + examined.report.mismatch);
    }
    if (reached_) return {};
    return Error(ErrorCode::kIndexDiffers, place_.index + ": stands at LSN " + text(until_.next) +
                                               ", where the log holds another entry or none");
  }

  /// As the broker does at its start; not beyond the position of the index.
  Result<void> apply(const store::EntryView& entry) {
    if (entry.header.index > until_.applied) return {};
    ++entries_;
    TALLY_TRY_VOID(core_->replay(entry));
    reached_ = entry.header.index == until_.applied && entry.header.end() == until_.next &&
               entry.header.checksum == until_.entry_checksum;
    return core_->checkpoint_due() ? checkpoint() : Result<void>();
  }

  Result<void> checkpoint() {
    TALLY_TRY_VOID(write(*core_->take_checkpoint()));
    core_->checkpoint_done();
    return {};
  }

  Result<void> write(const store::IndexBatch& batch) {
    for (const auto& row : batch.operations) bytes_ += row_bytes(row.key, row.value.value_or(""));
    return index_->write(batch);
  }

  const ShardPlace& place_;
  const ReplayFrom until_;
  store::Segments segments_{};
  ReplayFrom from_{};
  std::optional<TemporaryFolder> folder_{};
  std::unique_ptr<store::IndexStore> index_{};
  std::unique_ptr<BrokerCore> core_{};
  std::uint64_t entries_ = 0;
  std::uint64_t bytes_ = 0;
  bool reached_ = false;
};

struct Count {
  std::uint64_t equal = 0, different = 0, left_out = 0;
};

/// A row of which index and log say something else; null: nothing.
struct Difference {
  std::string_view kind{};
  Json key{}, in_index{}, rebuilt{};
  std::string place() const { return std::string(kind) + " " + to_text(key); }
};

/// Goes through the rows of both, side by side.
class Comparison {
 public:
  explicit Comparison(ShardId shard) : shard_(shard) {}

  Result<void> run(const store::IndexStore& index, const Rebuilt& rebuilt) {
    for (const Kind kind : {Kind::kConfig, Kind::kQueue}) {
      TALLY_TRY_VOID(note_retained(rebuilt.index(), kind));
    }
    const std::string from = broker::keys::prefix(shard_, Kind());
    const std::string to = broker::keys::prefix(shard_, Kind(0x7F));  // kinds are letters
    RowCursor ours(index, from, to);
    RowCursor theirs(rebuilt.index(), from, to);
    Progress progress = Progress::on_terminal("comparing", rebuilt.bytes());
    std::uint64_t bytes = 0;
    while (true) {
      TALLY_TRY(const RowCursor::Row* a, ours.row());
      TALLY_TRY(const RowCursor::Row* b, theirs.row());
      if (a == nullptr && b == nullptr) return {};
      const bool has_a = a != nullptr && (b == nullptr || a->key <= b->key);
      const bool has_b = b != nullptr && (a == nullptr || b->key <= a->key);
      compare(has_a ? a : nullptr, has_b ? b : nullptr);
      if (has_b) progress.reached(bytes += row_bytes(b->key, b->value));
      if (has_a) ours.advance();
      if (has_b) theirs.advance();
    }
  }

  std::uint64_t different() const { return different_; }
  /// The first few.
  const std::vector<Difference>& differences() const { return differences_; }
  const std::map<std::string_view, Count>& counts() const { return counts_; }

 private:
  using Kind = broker::keys::Kind;
  using Lasting = std::optional<std::string>;

  Result<void> note_retained(const store::IndexStore& rebuilt, Kind kind) {
    return rebuilt.scan(broker::keys::prefix(shard_, kind), broker::keys::prefix_end(shard_, kind),
                        [&](std::string_view key, std::string_view value) {
                          broker::note_retained(key, value, retained_);
                          return true;
                        });
  }

  void compare(const RowCursor::Row* in_index, const RowCursor::Row* rebuilt) {
    const std::string& key = in_index != nullptr ? in_index->key : rebuilt->key;
    if (in_index != nullptr && rebuilt != nullptr && in_index->value == rebuilt->value) {
      ++counts_[row_kind(key)].equal;
      return;
    }
    const auto lasting = [&](const RowCursor::Row* row) {
      return row == nullptr ? Lasting() : broker::lasting(row->key, row->value, retained_);
    };
    const Lasting ours = lasting(in_index);
    const Lasting theirs = lasting(rebuilt);
    Count& count = counts_[row_kind(key)];
    if (!ours && !theirs) {
      ++count.left_out;
    } else if (ours == theirs) {
      ++count.equal;
    } else {
      ++count.different;
      if (different_++ < kDifferencesShownMax) differences_.push_back(describe(key, ours, theirs));
    }
  }

  static Difference describe(const std::string& key, const Lasting& ours, const Lasting& theirs) {
    const auto fields = [&](const Lasting& value) -> Json {
      if (!value) return nullptr;
      const auto row = row_fields(key, *value);
      return row ? row->fields : Json("does not decode");
    };
    const auto row = row_fields(key, ours ? *ours : *theirs);
    return {.kind = row_kind(key),
            .key = row ? row->key : Json(key),
            .in_index = fields(ours),
            .rebuilt = fields(theirs)};
  }

  const ShardId shard_;
  broker::Retained retained_{};
  std::map<std::string_view, Count> counts_{};
  std::uint64_t different_ = 0;
  std::vector<Difference> differences_{};
};

void print(const Difference& difference, cli::Format format) {
  if (format == cli::Format::kJson) {
    return print_line({{"type", "difference"},
                       {"row", difference.kind},
                       {"key", difference.key},
                       {"index", difference.in_index},
                       {"rebuilt", difference.rebuilt}});
  }
  std::printf("%s\n  index    %s\n  rebuilt  %s\n", difference.place().c_str(),
              to_text(difference.in_index).c_str(), to_text(difference.rebuilt).c_str());
}

void print(const Comparison& comparison, const Rebuilt& rebuilt, const ReplayFrom& position,
           cli::Format format) {
  for (const Difference& difference : comparison.differences()) print(difference, format);
  cli::Table table({"ROWS", "EQUAL", "DIFFERENT", "LEFT OUT"});
  for (const auto& [kind, count] : comparison.counts()) {
    table.add({std::string(kind), std::to_string(count.equal), std::to_string(count.different),
               std::to_string(count.left_out)});
    if (format == cli::Format::kTable) continue;
    print_line({{"type", "rows"},
                {"row", kind},
                {"equal", count.equal},
                {"different", count.different},
                {"left_out", count.left_out}});
  }
  if (format == cli::Format::kJson) {
    return print_line({{"type", "comparison"},
                       {"from_lsn", rebuilt.from().value},
                       {"lsn", position.next.value},
                       {"entry", position.applied.value},
                       {"entries_replayed", rebuilt.entries()},
                       {"different", comparison.different()}});
  }
  table.print();
  std::printf("\n%s at entry %llu, LSN %llu; rebuilt from LSN %llu, %llu entries\n",
              comparison.different() == 0 ? "equal" : "DIFFERENT",
              static_cast<unsigned long long>(position.applied.value),
              static_cast<unsigned long long>(position.next.value),
              static_cast<unsigned long long>(rebuilt.from().value),
              static_cast<unsigned long long>(rebuilt.entries()));
}

}  // namespace

Result<void> compare_with_rebuilt(const ShardPlace& place, cli::Format format) {
  if (place.index.empty()) {
    return Error(ErrorCode::kInvalidArgument, place.log + ": there is no index beside it");
  }
  TALLY_TRY(const BrokerLock lock, BrokerLock::take(place));
  if (place.index_condemned) {
    return Error(ErrorCode::kIndexDiffers, place.index + ": failed before, and is to be rebuilt");
  }
  TALLY_TRY(const IndexCopy copy, copy_index(place.index));
  TALLY_TRY(const auto position, copy.index->position());
  if (!position) return Error(ErrorCode::kIndexDiffers, place.index + ": has no checkpoint");
  Rebuilt rebuilt(place, *position);
  TALLY_TRY_VOID(rebuilt.make());
  Comparison comparison(place.shard);
  TALLY_TRY_VOID(comparison.run(*copy.index, rebuilt));
  print(comparison, rebuilt, *position, format);
  if (comparison.different() == 0) return {};
  return Error(ErrorCode::kIndexDiffers, place.index + ": " +
                                             std::to_string(comparison.different()) +
                                             " rows are not what the log says; the first is " +
                                             comparison.differences().front().place());
}

}  // namespace tally::tools
