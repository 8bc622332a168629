#include "broker/server/descriptors.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>

namespace tally::broker {
namespace {

constexpr std::uint64_t kOthers = 512;  // the index, locks, threads, the log's next segment

}  // namespace

std::uint64_t raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= limit.rlim_max) return limit.rlim_cur;
  const rlimit raised{.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
  if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return raised.rlim_cur;
  spdlog::warn("the limit of open files stays at {}: {}", limit.rlim_cur, std::strerror(errno));
  return limit.rlim_cur;
}

void warn_of_few_descriptors(std::uint64_t limit, std::uint64_t segments,
                             const Settings& settings) {
  const std::uint64_t needed = segments + settings.connections_max + kOthers;
  if (limit >= needed) return;
  spdlog::warn(
      "this process may open {} files; {} segments and {} connections need {}: raise the limit "
      "(ulimit -Hn, LimitNOFILE), lower connections_max, or make segments larger",
      limit, segments, settings.connections_max, needed);
}

}  // namespace tally::broker
