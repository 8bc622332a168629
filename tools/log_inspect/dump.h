#pragma once
// `log-inspect dump`: the records of a log, and the rows of its bases, one per line.

#include <optional>
#include <string>

#include "tools/log_inspect/log_walk.h"
#include "tools/tally/output.h"

namespace tally::tools {

struct DumpOptions {
  Lsn from{};
  Lsn to{
      UINT64_MAX};  ///< the first LSN that is not shown; bases are shown when they stand before it
  std::optional<TopicUid> topic{};
  std::optional<std::string> transaction{};
  bool bases = false;
  cli::Format format = cli::Format::kTable;
};

Result<void> dump_log(const ShardPlace& place, const DumpOptions& options);

}  // namespace tally::tools
