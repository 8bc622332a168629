#include "tools/log_inspect/dump.h"

#include <cstdio>

#include "store/base.h"
#include "tools/log_inspect/lines.h"
#include "tools/log_inspect/progress.h"
#include "tools/log_inspect/record_fields.h"
#include "tools/log_inspect/row_fields.h"

namespace tally::tools {
namespace {

using cli::Json;

unsigned long long number(std::uint64_t value) { return value; }

class Dump {
 public:
  Dump(const ShardPlace& place, const DumpOptions& options) : place_(place), options_(options) {}

  Result<void> run() {
    if (options_.bases) TALLY_TRY_VOID(dump_bases());
    return dump_records();
  }

 private:
  bool json() const { return options_.format == cli::Format::kJson; }

  Result<void> dump_bases() const {
    if (place_.base.empty()) return {};
    store::FileSystem& files = store::real_file_system();
    TALLY_TRY(const auto bases, store::list_bases(files, place_.base));
    for (const store::BaseInfo& base : bases) {
      const Lsn lsn = base.position.next;
      if (lsn < options_.from || lsn >= options_.to) continue;
      if (!json()) {
        std::printf("base at LSN %llu, entry %llu\n%-18s %-40s %s\n", number(lsn.value),
                    number(base.position.applied.value), "ROW", "KEY", "FIELDS");
      }
      TALLY_TRY_VOID(dump_rows(lsn));
    }
    return {};
  }

  Result<void> dump_rows(Lsn base) const {
    Result<void> understood;
    const auto show = [&](std::string_view key, std::string_view value) {
      const auto row = row_fields(key, value);
      if (!row) {
        understood = Error(ErrorCode::kDataDamaged, place_.base + ": the base at LSN " +
                                                        std::to_string(base.value) +
                                                        " has a row that does not decode");
        return false;
      }
      if (wanted(*row)) print_row(base, *row);
      return true;
    };
    TALLY_TRY_VOID(store::read_base(store::real_file_system(), place_.base, base, show));
    return understood;
  }

  bool wanted(const Row& row) const {
    const auto is = [&](const char* name, const auto& value) {
      return row.key.contains(name) && row.key[name] == value;
    };
    if (options_.topic && !is("topic", options_.topic->value)) return false;
    return !options_.transaction || is("transaction", *options_.transaction);
  }

  void print_row(Lsn base, const Row& row) const {
    if (json()) {
      print_line({{"type", "row"},
                  {"base", base.value},
                  {"row", row.kind},
                  {"key", row.key},
                  {"fields", row.fields}});
      return;
    }
    std::printf("%-18s %-40s %s\n", std::string(row.kind).c_str(), to_pairs(row.key).c_str(),
                to_pairs(row.fields).c_str());
  }

  Result<void> dump_records() {
    if (!json()) {
      std::printf("%16s %10s  %-23s  %-14s %8s %10s  %s\n", "LSN", "ENTRY", "TIME (UTC)", "TYPE",
                  "TOPIC", "BLOCK", "FIELDS");
    }
    TALLY_TRY(LogWalk walk, LogWalk::open(place_, options_.from));
    Progress progress = Progress::beside_output("reading", walk.bytes());
    const Lsn begin = walk.segments().front()->base();
    return discard(walk.run(
        [&](const store::Segment& segment, const store::CheckedEntry& entry) -> Result<void> {
          for (const store::RecordView& record : entry.view.records) {
            TALLY_TRY_VOID(dump_record(segment, entry.view.header, record));
          }
          progress.reached(entry.view.header.end().value - begin.value);
          return {};
        }));
  }

  static Result<void> discard(const Result<store::Examined>& examined) {
    if (!examined) return examined.error();
    return {};
  }

  Result<void> dump_record(const store::Segment& segment, const store::EntryHeader& entry,
                           const store::RecordView& record) const {
    const store::RecordHeader& header = record.header;
    const auto fields = record_fields(record);
    if (!fields) return does_not_decode(segment, header);
    if (header.lsn < options_.from || header.lsn >= options_.to) return {};
    if (options_.topic && header.topic != *options_.topic) return {};
    if (options_.transaction && fields->value("transaction", Json()) != *options_.transaction) {
      return {};
    }
    if (json()) {
      print_line({{"type", "record"},
                  {"lsn", header.lsn.value},
                  {"entry", entry.index.value},
                  {"time_ms", entry.time_ms},
                  {"record", name(header.type)},
                  {"topic", header.topic.value},
                  {"bytes", header.record_bytes()},
                  {"block_bytes", header.block_bytes},
                  {"fields", *fields}});
      return {};
    }
    std::printf("%16llu %10llu  %-23s  %-14s %8u %10u  %s\n", number(header.lsn.value),
                number(entry.index.value), cli::time_text(entry.time_ms).c_str(),
                std::string(name(header.type)).c_str(), header.topic.value, header.block_bytes,
                to_pairs(*fields).c_str());
    return {};
  }

  const ShardPlace& place_;
  const DumpOptions& options_;
};

}  // namespace

Result<void> dump_log(const ShardPlace& place, const DumpOptions& options) {
  return Dump(place, options).run();
}

}  // namespace tally::tools
