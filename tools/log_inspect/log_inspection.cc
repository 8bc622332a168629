#include "tools/log_inspect/log_inspection.h"

#include <unistd.h>

#include <ctime>

#include "tools/log_inspect/record_fields.h"

namespace tally::tools {
namespace {

using nlohmann::ordered_json;
using Detail = InspectOptions::Detail;

constexpr int kLooksMax = 5;

std::string file_name(const store::Segment& segment) {
  return segment.path.substr(segment.path.rfind('/') + 1);
}

/// `2024-03-09 08:15:00.123` in UTC.
std::string to_time(std::int64_t time_ms) {
  const std::time_t seconds = time_ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[40];
  const std::size_t size = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  std::snprintf(text + size, sizeof text - size, ".%03d", static_cast<int>(time_ms % 1000));
  return text;
}

}  // namespace

LogInspection::LogInspection(std::string directory, const InspectOptions& options)
    : directory_(std::move(directory)), options_(options), progress_(isatty(STDERR_FILENO) == 1) {}

Result<void> LogInspection::run() {
  TALLY_TRY(shard_, read_shard());
  TALLY_TRY(const store::Segments segments,
            store::open_segments(store::real_file_system(), directory_, shard_,
                                 store::FileSystem::Mode::kRead));
  segments_ = segments.size();
  log_ = segments.front()->header.log;
  print_header();
  TALLY_TRY(const store::Examined examined, examine(segments));
  end_segment();
  print_end(examined);
  return {};
}

/// A log directory says whose it is in every segment.
Result<ShardId> LogInspection::read_shard() const {
  store::FileSystem& files = store::real_file_system();
  TALLY_TRY(const auto names, files.list(directory_));
  for (const std::string& name : names) {
    if (!store::parse_segment_name(name)) continue;
    const std::string path = directory_ + "/" + name;
    TALLY_TRY(const auto file, files.open(path, store::FileSystem::Mode::kRead));
    std::string raw(store::kSegmentHeaderBytes, '\0');
    TALLY_TRY(const std::size_t got, file->read(0, raw.data(), raw.size()));
    if (got < raw.size()) {
      return Error(ErrorCode::kDataDamaged, path + ": shorter than a segment's header");
    }
    TALLY_TRY(const auto header, store::SegmentHeader::decode(raw, path));
    return header.shard;
  }
  return Error(ErrorCode::kInvalidArgument, directory_ + ": no segments of a log");
}

Result<store::Examined> LogInspection::examine(const store::Segments& segments) {
  const store::ExamineOptions options{
      .all_blocks = true,
      .from_first = true,
      .visit = [this](const store::Segment& segment, const store::CheckedEntry& entry) {
        return visit(segment, entry);
      }};
  auto examined = store::examine_log(segments, options);
  if (examined || examined.error().code != ErrorCode::kDataDamaged) return examined;
  auto again = examine_again(segments, examined.error());
  being_written_ = again.has_value();
  return again;
}

/// A broker may have written between two of our reads. True damage stays where it is.
Result<store::Examined> LogInspection::examine_again(const store::Segments& segments,
                                                     Error first) const {
  for (int look = 0; look < kLooksMax; ++look) {
    auto examined = store::examine_log(segments, {.all_blocks = true, .from_first = true});
    if (examined || examined.error() == first) return examined;
    first = examined.error();
  }
  return first;
}

Result<void> LogInspection::visit(const store::Segment& segment, const store::CheckedEntry& entry) {
  if (segment_ != &segment) {
    end_segment();
    segment_ = &segment;
    show_progress();
  }
  const store::EntryHeader& header = entry.view.header;
  ++of_segment_.entries;
  of_segment_.records += header.record_count;
  of_segment_.bytes += header.entry_bytes;
  of_segment_.last_index = header.index;
  if (options_.detail == Detail::kEntries && header.lsn >= options_.from) print_entry(entry);
  for (const store::RecordView& record : entry.view.records) {
    of_segment_.block_bytes += record.header.block_bytes;
    TALLY_TRY_VOID(print_record(segment, record));
  }
  return {};
}

void LogInspection::print(const ordered_json& object) const {
  std::puts(object.dump(-1, ' ', false, ordered_json::error_handler_t::replace).c_str());
}

void LogInspection::print_header() const {
  if (options_.json) return;
  switch (options_.detail) {
    case Detail::kSegments:
      std::printf("%-24s %16s %16s %10s %10s\n", "SEGMENT", "FIRST LSN", "END LSN", "ENTRIES",
                  "RECORDS");
      break;
    case Detail::kEntries:
      std::printf("%16s %10s  %-23s %10s %8s %16s\n", "LSN", "INDEX", "TIME (UTC)", "BYTES",
                  "RECORDS", "DURABLE LSN");
      break;
    case Detail::kRecords:
      std::printf("%16s  %-14s %8s %10s  %s\n", "LSN", "TYPE", "TOPIC", "BLOCK", "FIELDS");
      break;
  }
}

void LogInspection::print_entry(const store::CheckedEntry& entry) const {
  const store::EntryHeader& header = entry.view.header;
  if (options_.json) {
    print({{"type", "entry"},
           {"lsn", header.lsn.value},
           {"index", header.index.value},
           {"term", header.term.value},
           {"time_ms", header.time_ms},
           {"bytes", header.entry_bytes},
           {"padding_bytes", header.padding_bytes},
           {"records", header.record_count},
           {"durable_lsn", entry.preamble.durable.value},
           {"rules_version", header.rules_version}});
    return;
  }
  std::printf("%16llu %10llu  %-23s %10u %8u %16llu\n",
              static_cast<unsigned long long>(header.lsn.value),
              static_cast<unsigned long long>(header.index.value), to_time(header.time_ms).c_str(),
              header.entry_bytes, header.record_count,
              static_cast<unsigned long long>(entry.preamble.durable.value));
}

Result<void> LogInspection::print_record(const store::Segment& segment,
                                         const store::RecordView& record) const {
  const auto fields = record_fields(record);
  const store::RecordHeader& header = record.header;
  if (!fields) {
    return Error(ErrorCode::kDataDamaged,
                 segment.path + ": position " + std::to_string(segment.position(header.lsn)) +
                     " (LSN " + std::to_string(header.lsn.value) + "): a record of type " +
                     std::to_string(static_cast<int>(header.type)) + " does not decode");
  }
  if (options_.detail != Detail::kRecords || header.lsn < options_.from) return {};
  if (options_.json) {
    print({{"type", "record"},
           {"lsn", header.lsn.value},
           {"record", name(header.type)},
           {"topic", header.topic.value},
           {"bytes", header.record_bytes()},
           {"block_bytes", header.block_bytes},
           {"fields", *fields}});
    return {};
  }
  std::printf("%16llu  %-14s %8u %10u  %s\n", static_cast<unsigned long long>(header.lsn.value),
              std::string(name(header.type)).c_str(), header.topic.value, header.block_bytes,
              to_line(*fields).c_str());
  return {};
}

void LogInspection::end_segment() {
  if (segment_ == nullptr) return;
  if (options_.detail == Detail::kSegments) {
    const Lsn end(segment_->base().value + of_segment_.bytes);
    if (options_.json) {
      print({{"type", "segment"},
             {"file", file_name(*segment_)},
             {"first_lsn", segment_->base().value},
             {"end_lsn", end.value},
             {"file_bytes", segment_->file_bytes},
             {"entries", of_segment_.entries},
             {"records", of_segment_.records},
             {"block_bytes", of_segment_.block_bytes}});
    } else {
      std::printf("%-24s %16llu %16llu %10llu %10llu\n", file_name(*segment_).c_str(),
                  static_cast<unsigned long long>(segment_->base().value),
                  static_cast<unsigned long long>(end.value),
                  static_cast<unsigned long long>(of_segment_.entries),
                  static_cast<unsigned long long>(of_segment_.records));
    }
  }
  of_log_.entries += of_segment_.entries;
  of_log_.records += of_segment_.records;
  of_log_.bytes += of_segment_.bytes;
  of_log_.block_bytes += of_segment_.block_bytes;
  of_log_.last_index = of_segment_.last_index;
  of_segment_ = {};
  segment_ = nullptr;
  ++segments_done_;
}

void LogInspection::print_end(const store::Examined& examined) const {
  const bool torn = examined.report.bytes_cut != 0 || being_written_;
  if (options_.json) {
    print({{"type", "log"},
           {"log", log_.to_hex()},
           {"shard", shard_.value},
           {"segments", segments_},
           {"entries", of_log_.entries},
           {"records", of_log_.records},
           {"block_bytes", of_log_.block_bytes},
           {"last_index", examined.last_index.value},
           {"end_lsn", examined.end.value},
           {"durable_lsn", examined.durable.value},
           {"state", torn ? "torn" : "clean"},
           {"torn_bytes", examined.report.bytes_cut},
           {"torn_entries", examined.report.entries_cut_without_witness}});
    return;
  }
  std::printf("\nlog %s, shard %u: %zu segments, %llu entries, %llu records, end LSN %llu, ",
              log_.to_hex().c_str(), shard_.value, segments_,
              static_cast<unsigned long long>(of_log_.entries),
              static_cast<unsigned long long>(of_log_.records),
              static_cast<unsigned long long>(examined.end.value));
  if (torn) {
    std::printf("torn tail of %llu bytes: a broker is writing, or the next start cuts it\n",
                static_cast<unsigned long long>(examined.report.bytes_cut));
  } else {
    std::printf("clean\n");
  }
}

void LogInspection::show_progress() const {
  if (!progress_) return;
  std::fprintf(stderr, "\rsegment %zu of %zu%s", segments_done_ + 1, segments_,
               segments_done_ + 1 == segments_ ? "\n" : "");
}

}  // namespace tally::tools
