#include "broker/server/stats.h"

#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "broker/server/space_watch.h"

namespace tally::broker {
namespace {

std::uint64_t microseconds(const timeval& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(time.tv_usec);
}

std::uint64_t resident_bytes() {
  std::uint64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

StatsResponse collect_stats(const Counters& counters, const BrokerCore::Counters& core) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  StatsResponse stats;
  const auto put = [&](std::string key, std::uint64_t value) {
    stats.values.push_back({std::move(key), value});
  };
  put("cpu_user_us", microseconds(usage.ru_utime));
  put("cpu_system_us", microseconds(usage.ru_stime));
  put("rss_bytes", resident_bytes());
  put("sessions", read(counters.sessions));
  put("reads", read(counters.reads));
  put("frames", read(counters.frames));
  put("bytes_read", read(counters.bytes_read));
  put("writes", read(counters.writes));
  put("replies", read(counters.replies));
  put("bytes_written", read(counters.bytes_written));
  put("cold_grants", read(counters.cold_grants));
  put("log_syncs", read(counters.syncs));
  put("log_entries", read(counters.entries));
  put("log_records", read(counters.records));
  put("log_bytes", read(counters.log_bytes));
  put("log_rolls", read(counters.rolls));
  put("space", read(counters.space));
  put("space_low_ms", space_low_ms(counters));
  const std::uint64_t first = read(counters.log_first), keep_from = read(counters.cut_keep_from);
  put("log_first_lsn", first);
  put("log_end_lsn", read(counters.log_end));
  put("horizon_lsn", core.horizon);
  put("retention_lag_bytes", keep_from > first ? keep_from - first : 0);
  put("retention_clock_behind_ms", core.retention_clock_behind_ms);
  put("bases", read(counters.bases));
  put("bases_unreadable", core.bases_unreadable);
  put("checkpoints", read(counters.checkpoints));
  put("index_loads", read(counters.loads));
  put("sends", core.sends);
  put("halves", core.halves);
  put("repeated_sends", core.repeated_sends);
  for (const Decider decider :
       {Decider::kProducer, Decider::kCheck, Decider::kOperator, Decider::kBroker}) {
    const std::string by(name(decider));
    if (decider != Decider::kBroker) put("decided_commit_" + by, core.by(decider).commit);
    put("decided_rollback_" + by, core.by(decider).rollback);
  }
  put("conflicts", core.conflicts);
  put("grants", core.grants);
  put("settles", core.settles);
  put("expired_leases", core.expired_leases);
  put("checks_sent", core.checks_sent);
  put("checks_delivered", core.checks_delivered);
  put("checks_commit", core.checks_commit);
  put("checks_rollback", core.checks_rollback);
  put("checks_unknown", core.checks_unknown);
  put("checks_timed_out", core.checks_timed_out);
  put("no_checker_waiting", core.no_checker_waiting);
  put("oldest_pending_ms", core.oldest_pending_ms);
  put("decision_ms_p50", core.decision_p50_ms);
  put("decision_ms_p99", core.decision_p99_ms);
  put("horizon_ms", core.horizon_ms);
  put("overloaded", core.overloaded);
  put("disk_full", core.disk_full);
  put("lost", core.lost);
  put("pending", core.pending);
  put("parked", core.parked);
  return stats;
}

}  // namespace tally::broker
