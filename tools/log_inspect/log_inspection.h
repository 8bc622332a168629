#pragma once
// Prints and verifies the log of one shard without a broker. Reads only: it takes no lock and may
// run beside a broker that writes.

#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "store/recovery.h"

namespace tally::tools {

struct InspectOptions {
  enum class Detail : std::uint8_t { kSegments, kEntries, kRecords } detail = Detail::kSegments;
  bool json = false;
  Lsn from{};  ///< entries and records before it are checked, not printed
};

class LogInspection {
 public:
  LogInspection(std::string directory, const InspectOptions& options);
  /// Checks every byte of the log and prints as it goes.
  Result<void> run();

 private:
  /// Of one segment, or of the log.
  struct Sum {
    std::uint64_t entries = 0, records = 0, block_bytes = 0, bytes = 0;
    EntryIndex last_index{};
  };

  Result<ShardId> read_shard() const;
  Result<store::Examined> examine(const store::Segments& segments);
  Result<store::Examined> examine_again(const store::Segments& segments, Error first) const;
  Result<void> visit(const store::Segment& segment, const store::CheckedEntry& entry);
  void print_header() const;
  void print_entry(const store::CheckedEntry& entry) const;
  Result<void> print_record(const store::Segment& segment, const store::RecordView& record) const;
  void end_segment();
  void print_end(const store::Examined& examined) const;
  void print(const nlohmann::ordered_json& object) const;
  void show_progress() const;

  const std::string directory_;
  const InspectOptions options_;
  const bool progress_;
  std::size_t segments_ = 0;
  std::size_t segments_done_ = 0;
  LogId log_{};
  ShardId shard_{};
  const store::Segment* segment_ = nullptr;  ///< the one being read
  Sum of_segment_{};
  Sum of_log_{};
  bool being_written_ = false;
};

}  // namespace tally::tools
