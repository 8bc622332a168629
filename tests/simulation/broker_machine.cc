#include "tests/simulation/broker_machine.h"

#include <limits>

#include "store/entry_walk.h"
#include "tests/simulation/state_rows.h"

namespace tally::simulation {
namespace {

constexpr std::uint64_t kEntryBytesMax = 32u << 10;
constexpr std::uint64_t kCrashKinds = 7;      // of testing::CrashKeeps
constexpr std::uint64_t kComparedStarts = 6;  // one start in so many
constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();
constexpr std::int64_t kDayMs = 24 * 3'600'000;

broker::Settings settings_of(const Options& options) {
  broker::Settings settings;
  settings.data_dir = "/data";
  settings.segment_bytes = options.segment_bytes;
  settings.retention_bytes = kUnlimited;  // by age alone, which the checker knows
  settings.core = options.core;
  settings.core.entry_bytes_max = kEntryBytesMax;
  return settings;
}

LogId new_log_id() {
  LogId id;
  id.bytes.fill(0x7a);
  return id;
}

}  // namespace

BrokerMachine::BrokerMachine(World& world, const Options& options, const Surroundings& surroundings)
    : Process(world, "broker"),
      options_(options),
      around_(surroundings),
      random_(world.random().fork()),
      faults_(options.broker),
      settings_(settings_of(options)),
      disk_(std::make_unique<testing::MemoryFileSystem>()),
      log_watch_(surroundings.observer, options.core) {}

void BrokerMachine::switch_on() {
  boot();
  die_now_and_then();
}

void BrokerMachine::heal() {
  faults_ = {};
  set_capacity(kUnlimited);
  if (!alive()) boot();
}

void BrokerMachine::set_capacity(std::uint64_t bytes) {
  capacity_ = bytes;
  disk_->set_capacity(bytes);
}

/// Somebody else fills the disk, and later frees it.
void BrokerMachine::fill_disk() {
  const auto space = disk_->disk_space(settings_.data_dir);
  if (!space) return;
  const std::uint64_t used = space->total_bytes - space->free_bytes;
  world().trace(name(), "the disk is full");
  set_capacity(used + random_.below(2) * random_.below(options_.segment_bytes));
  world().after(random_.between(100, 4'000) * kMs, [this] {
    world().trace(name(), "the disk has room again");
    set_capacity(kUnlimited);
  });
}

bool BrokerMachine::fate(BrokerStep step) {
  if (!random_.chance(faults_.death[static_cast<std::size_t>(step)])) return false;
  die(random_.chance(faults_.power_cut), "at step " + std::to_string(static_cast<int>(step)));
  return true;
}

void BrokerMachine::die_now_and_then() {
  constexpr std::int64_t kEveryMs = 100;
  world().after(kEveryMs * kMs, [this] {
    const auto now_and_then = [&](double per_s) {
      return random_.chance(per_s * kEveryMs / 1'000);
    };
    if (now_and_then(faults_.clock_jump_per_s)) jump_clock(random_.between(-kDayMs, kDayMs));
    if (core_ != nullptr && now_and_then(faults_.death_per_s)) {
      die(random_.chance(faults_.power_cut), "at any moment");
    }
    if (core_ != nullptr && now_and_then(faults_.stop_per_s)) stop_orderly();
    if (core_ != nullptr && now_and_then(faults_.disk_full_per_s)) fill_disk();
    die_now_and_then();
  });
}

void BrokerMachine::jump_clock(std::int64_t ms) {
  world().trace(name(), "the wall clock jumps by ", ms, " ms");
  wall_.offset_ms += ms;
  around_.watch.clock_jumped(core_ != nullptr ? core_->counters().pending : 0);
}

// --- start ---

void BrokerMachine::boot() {
  begin_life();
  after(random_.between(5, 50) * kMs, [this] { recover(); });
}

void BrokerMachine::recover() {
  if (index_.exists().value() && random_.one_in(kComparedStarts)) compare_states();
  const bool interrupted =
      random_.chance(faults_.death[static_cast<std::size_t>(BrokerStep::kWhileStarting)]);
  if (interrupted) {
    disk_->inject({.number = disk_->operations() + random_.below(10), .for_ever = true});
  }
  if (random_.chance(faults_.index_loss)) {
    index_.destroy().value();
    world().trace(name(), "the index is lost");
  }
  auto opened = broker::open_shard(settings_, ShardId(0), *disk_,
                                   {.space_changed =
                                        [this](store::Space space) {
                                          inbox_.space = space;
                                          wake_core();
                                        },
                                    .index = &index_,
                                    .new_log_id = new_log_id(),
                                    .prepare_ahead = false});
  if (!opened) {
    if (interrupted) return die(random_.chance(faults_.power_cut), "while starting");
    const bool full = opened.error().code == ErrorCode::kDiskFull;
    if (!full || capacity_ == kUnlimited) {
      around_.observer.violate(test::Rule::kRestart,
                               "the broker does not start: " + to_string(opened.error()));
    }
    return die(false, "refused");
  }
  disk_->heal();
  shard_ = *std::move(opened);
  log_watch_.forget_behind(acknowledged_);
  if (looks_at_log()) serve();
}

/// What was acknowledged is there, as it was. False: it is not.
bool BrokerMachine::looks_at_log() {
  store::Log& log = *shard_.log;
  const auto fail = [&](std::string text) {
    around_.observer.violate(test::Rule::kRestart, std::move(text));
    return false;
  };
  if (log.last_index().value < acknowledged_) {
    return fail("acknowledged entries are gone: the log ends at " +
                std::to_string(log.last_index().value) + " instead of " +
                std::to_string(acknowledged_));
  }
  const auto walk = log.walk(log.first(), log.end());
  while (true) {
    const auto entry = walk->next();
    if (!entry) return fail("the log cannot be read: " + to_string(entry.error()));
    if (*entry == nullptr) break;
    log_watch_.seen(**entry);
  }
  acknowledged_ = log.last_index().value;
  return true;
}

void BrokerMachine::serve() {
  const store::Log& log = *shard_.log;
  core_ = shard_.core.get();
  core_->serve(now(), log.last_index(), log.end(), log.last_time_ms());
  cut_.emplace(*shard_.index, log, *disk_, shard_.base_directory, ShardId(0), counters_);
  sessions_ = std::make_unique<BrokerSessions>(
      around_.network, *this,
      BrokerSessions::Setting{.log = log.id(),
                              .first_check_ms = options_.core.first_check_ms,
                              .lifetime_ms = options_.core.transaction_lifetime_ms,
                              .reader = log.reader(),
                              .newest_session = newest_session_},
      inbox_, [this] { wake_core(); });
  const std::uint64_t pending = core_->counters().pending;
  world().trace(name(), "serves from entry ", acknowledged_, ", ", pending, " pending");
  around_.observer.add(name(), test::Restarted{acknowledged_});
  around_.watch.broker_started(pending, world().now_ms() - ended_ms_ > options_.core.retention_ms);
  sweep_now_and_then();
  retry_space_now_and_then();
  tell_counters_now_and_then();
  wake_core();
}

void BrokerMachine::tell_counters_now_and_then() {
  after(1'000 * kMs, [this] {
    tell_counters();
    tell_counters_now_and_then();
  });
}

void BrokerMachine::retry_space_now_and_then() {
  after(1'000 * kMs, [this] {
    if (!log_busy_) shard_.log->retry_space();
    retry_space_now_and_then();
  });
}

void BrokerMachine::sweep_now_and_then() {
  after(500 * kMs, [this] {
    sessions_->sweep(boot_ms());
    sweep_now_and_then();
  });
}

// --- end ---

void BrokerMachine::die(bool power_cut, std::string_view why) {
  ++deaths_;
  world().trace(name(), power_cut ? "loses power " : "dies ", why);
  std::uint64_t unanswered = 0;
  for (const broker::Effects& effects : outgoing_) {
    for (const broker::Reply& reply : effects.replies)
      unanswered += reply.kind == RequestKind::kEnd;
  }
  around_.watch.broker_died(ends_in(durable_) + ends_in(inbox_.durable), unanswered);
  // What the index's thread had begun may have been finished just in time.
  if (checkpoint_ != nullptr && random_.one_in(2)) shard_.index->write(*checkpoint_).value();
  end_process(power_cut);
  if (power_cut) {
    disk_ = disk_->after_crash(
        {.part = testing::CrashKeeps::Part(random_.below(kCrashKinds)), .seed = random_.next()});
    disk_->set_capacity(capacity_);
  }
  disk_->heal();
  come_back();
}

void BrokerMachine::come_back() {
  std::int64_t down_ms = random_.between(1, faults_.down_ms);
  if (random_.chance(faults_.long_down)) down_ms += 2 * options_.core.retention_ms;
  world().after(down_ms * kMs, [this] {
    if (!alive()) boot();
  });
}

void BrokerMachine::end_process(bool power_cut) {
  if (sessions_ != nullptr) {
    newest_session_ = sessions_->newest();
    for (const Network::Connection connection : sessions_->connections()) {
      power_cut ? around_.network.vanish(connection, *this)
                : around_.network.close(connection, *this);
    }
  }
  end_life();
  ended_ms_ = world().now_ms();
  core_ = nullptr;
  sessions_.reset();
  base_.reset();
  cut_.reset();
  background_busy_ = false;
  shard_ = {};
  inbox_ = {};
  clients_.clear();
  core_awake_ = false;
  timer_us_ = std::numeric_limits<std::int64_t>::max();
  to_log_.clear();
  durable_.clear();
  entries_with_log_ = 0;
  log_busy_ = false;
  to_index_.clear();
  index_busy_ = checkpoint_running_ = false;
  checkpoint_.reset();
  outgoing_.clear();
  answered_us_ = 0;
  stopping_ = Stopping::kNo;
}

// --- states ---

void BrokerMachine::tell_counters() {
  const auto& counters = core_->counters();
  const auto tell = [&](const char* what, std::uint64_t value) {
    around_.observer.add(name(), test::CounterSeen{.name = what, .value = value});
  };
  tell("sends", counters.sends);
  tell("halves", counters.halves);
  std::uint64_t commits = 0, rollbacks = 0;
  for (const auto& decided : counters.decisions) {
    commits += decided.commit;
    rollbacks += decided.rollback;
  }
  tell("commits", commits);
  tell("rollbacks", rollbacks);
  tell("pending", counters.pending);
  tell("parked", counters.parked);
}

void BrokerMachine::compare_states() {
  const auto fail = [&](std::string text) {
    around_.observer.violate(test::Rule::kRestart, std::move(text));
  };
  const auto start = [&](MachineIndex index) {
    const auto copy = disk_->after_crash({.part = testing::CrashKeeps::Part::kEverything});
    return rows_after_start(*copy, std::move(index), settings_);
  };
  const auto rebuilt = start(MachineIndex{});
  const auto restored = start(index_.copy());
  if (!restored || !rebuilt) {
    return fail("a copy of the machine does not start: " +
                to_string(!restored ? restored.error() : rebuilt.error()));
  }
  if (const std::string row = difference(*restored, *rebuilt); !row.empty()) {
    fail("restored from the index the state is another one than rebuilt: " + row);
  }
  if (core_ == nullptr) return;
  if (const std::string row = difference(rows_of(*core_, *shard_.index), *rebuilt); !row.empty()) {
    fail("the state that lived is another one than rebuilt: " + row);
  }
}

}  // namespace tally::simulation
