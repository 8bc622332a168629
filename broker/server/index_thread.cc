#include "broker/server/index_thread.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "broker/server/fatal.h"
#include "broker/server/thread_name.h"
#include "protocol/base/clock.h"
#include "protocol/base/fail_point.h"

namespace tally::broker {
namespace {

constexpr std::int64_t kRetryMs = 1'000;
constexpr std::int64_t kReaderMs = 10;  // a reader that has a removed segment leaves it soon

/// Takes rows of [load.from, load.to), in their order, until there are enough. False: there are.
bool take_row(const Load& load, std::string_view key, std::string_view value, Loaded& to) {
  if (to.values.size() >= load.limit) return false;
  to.values.emplace_back(key, value);
  return to.values.size() < load.limit;
}

}  // namespace

IndexThread::IndexThread(IndexWiring wiring)
    : with_(std::move(wiring)),
      log_(with_.log.reader()),
      cut_(with_.index, with_.log, with_.files, with_.base_directory, with_.shard, with_.counters) {
}

void IndexThread::start(std::span<const std::unique_ptr<IoThread>> io_threads) {
  io_threads_ = io_threads;
  thread_ = std::thread([this] { run(); });
}

void IndexThread::stop() {
  if (!thread_.joinable()) return;
  mailbox_.put([](IndexMail& mail) { mail.stop = true; });
  thread_.join();
}

void IndexThread::run() {
  name_this_thread("tally-index");
  IndexMail mail;
  for (bool stop = false; !stop; mail.clear()) {
    mailbox_.take(mail, wait_ms_);
    wait_ms_ = kWaitForMail;
    take_over(mail);
    if (!loads_.empty() || checkpoint_) {
      const std::int64_t left_ms = retry_at_ms_ - system_clock().boot_ms();
      if (left_ms > 0) {
        wait_ms_ = left_ms;
      } else {
        answer_loads();
        if (checkpoint_) write_checkpoint();
      }
    }
    step();
    stop = mail.stop;
  }
}

void IndexThread::take_over(IndexMail& mail) {
  if (!mail.loads.empty() || mail.checkpoint) retry_at_ms_ = 0;
  loads_.insert(loads_.end(), std::make_move_iterator(mail.loads.begin()),
                std::make_move_iterator(mail.loads.end()));
  for (Grant& grant : mail.cold_grants) {
    ReadGrant answer = read(std::move(grant));
    io_threads_[io_thread_of(answer.grant.session)]->put(
        [&](IoMail& to) { to.read_grants.push_back(std::move(answer)); });
  }
  if (mail.checkpoint) {
    checkpoint_ = std::move(mail.checkpoint);
    base_wanted_ = mail.base;
  }
  if (mail.cut) cut_.begin(*mail.cut);
}

void IndexThread::die(std::string_view what, const Error& error) const {
  with_.condemn();
  die_of_disk(what, error);
}

void IndexThread::die(bool of_index, std::string_view what, const Error& error) const {
  if (of_index) die("the index cannot be read or written", error);
  die_of_disk(what, error);
}

// --- a full disk ---

bool IndexThread::give_room() {
  // The index is opened anew, which a base's view of it would prevent.
  if (base_) give_up_base();
  const auto given = with_.room.give();
  if (!given) die_of_disk("the room of the index cannot be given", given.error());
  return *given;
}

void IndexThread::retry_later() {
  retry_at_ms_ = system_clock().boot_ms() + kRetryMs;
  wait_ms_ = kRetryMs;
}

// --- look-ups and reads ---

/// Those that the index cannot answer for lack of space wait.
void IndexThread::answer_loads() {
  std::vector<Loaded> answers;
  while (answers.size() < loads_.size()) {
    auto loaded = load(loads_[answers.size()]);
    if (!loaded && loaded.error().code == ErrorCode::kDiskFull) {
      if (give_room()) continue;
      retry_later();
      break;
    }
    if (!loaded) die("the index cannot be read", loaded.error());
    answers.push_back(*std::move(loaded));
  }
  if (answers.empty()) return;
  loads_.erase(loads_.begin(), loads_.begin() + static_cast<std::ptrdiff_t>(answers.size()));
  add(with_.counters.loads, answers.size());
  with_.core.put([&](CoreMail& to) {
    for (Loaded& values : answers) to.loaded.push_back(std::move(values));
  });
}

Result<Loaded> IndexThread::load(const Load& load) const {
  if (load.base != Lsn(0)) return load_from_base(load);
  Loaded loaded{load.ticket, {}};
  if (load.to.empty()) {
    TALLY_TRY(auto value, with_.index.get(load.from));
    if (value) loaded.values.emplace_back(load.from, *std::move(value));
    return loaded;
  }
  TALLY_TRY_VOID(
      with_.index.scan(load.from, load.to, [&](std::string_view key, std::string_view value) {
        return take_row(load, key, value, loaded);
      }));
  return loaded;
}

Loaded IndexThread::load_from_base(const Load& load) const {
  Loaded loaded{load.ticket, {}};
  const auto read = store::read_base(with_.files, with_.base_directory, load.base,
                                     [&](std::string_view key, std::string_view value) {
                                       if (key < load.from) return true;
                                       return key < load.to && take_row(load, key, value, loaded);
                                     });
  if (read) return loaded;
  spdlog::warn("the base of LSN {} cannot be read: {}", load.base.value, to_string(read.error()));
  return {load.ticket, {}};
}

ReadGrant IndexThread::read(Grant&& grant) const {
  ReadGrant answer{std::move(grant)};
  const std::vector<DeliveryHeader>& deliveries = answer.grant.response.deliveries;
  for (std::size_t i = 0; i < deliveries.size();) {
    auto read = log_->read_block(deliveries[i].lsn, answer.grant.record_bytes[i],
                                 store::LogReader::Wait::kDisk, *answer.payload);
    if (read) {
      ++i;
      continue;
    }
    const DamagedMessage unreadable = answer.grant.drop(i);
    if (read.error().code == ErrorCode::kExpired)
      continue;  // retention took it since it was granted
    with_.core.put([&](CoreMail& mail) { mail.damaged.push_back(unreadable); });
    if (deliveries.empty()) {
      answer.payload = std::move(read).error();
    } else {
      spdlog::error("a message cannot be delivered: {}", to_string(read.error()));
    }
  }
  return answer;
}

// --- checkpoints ---

void IndexThread::write_checkpoint() {
  TALLY_FAIL_POINT("server.before_checkpoint");
  auto written = with_.index.write(*checkpoint_);
  if (!written && written.error().code == ErrorCode::kDiskFull && give_room()) {
    written = with_.index.write(*checkpoint_);
  }
  if (!written && written.error().code == ErrorCode::kDiskFull) {
    if (!std::exchange(waits_for_space_, true))
      spdlog::warn("the index waits for disk space: {}", to_string(written.error()));
    return retry_later();
  }
  if (!written) die("the index cannot be written", written.error());
  TALLY_FAIL_POINT("server.after_checkpoint");
  checkpoint_written();
}

void IndexThread::checkpoint_written() {
  checkpoint_.reset();
  if (std::exchange(waits_for_space_, false)) spdlog::info("the index goes on");
  add(with_.counters.checkpoints, 1);
  with_.core.put([](CoreMail& to) { to.checkpoint_written = true; });
  if (std::exchange(base_wanted_, false)) {
    base_.emplace(with_.index, with_.files, with_.base_directory, with_.shard);
  }
  const bool enough =
      broker::read(with_.counters.space) == static_cast<std::uint64_t>(store::Space::kEnough);
  if (!enough) return;
  if (const auto made = with_.room.make(); !made)
    spdlog::error("the room of the index cannot be made: {}", to_string(made.error()));
}

// --- bases and cuts ---

void IndexThread::step() {
  std::int64_t wait_ms = kWaitForMail;
  if (base_) {
    step_base();
    wait_ms = 0;
  } else if (!cut_.done()) {
    wait_ms = step_cut();
  }
  wait_ms_ = std::min(wait_ms_, wait_ms);
}

void IndexThread::step_base() {
  const auto made = base_->step();
  if (!made && made.error().code == ErrorCode::kDiskFull) {
    spdlog::warn("a base waits for disk space: {}", to_string(made.error()));
    return give_up_base();
  }
  if (!made) die(base_->of_index(), "a base cannot be written", made.error());
  if (!*made) return;
  base_.reset();
  if (const auto all = store::list_base_positions(with_.files, with_.base_directory)) {
    with_.counters.bases = all->size();
  }
  spdlog::debug("base of LSN {} written", (*made)->lsn.value);
  with_.core.put([&](CoreMail& to) { to.base_written = **made; });
}

void IndexThread::give_up_base() {
  base_.reset();
  with_.core.put([](CoreMail& to) { to.base_failed = true; });
}

/// How long the next step may wait.
std::int64_t IndexThread::step_cut() {
  const auto pace = cut_.step();
  if (pace) return *pace == CutJob::Pace::kWait ? kReaderMs : 0;
  if (pace.error().code != ErrorCode::kDiskFull) {
    die(cut_.of_index(), "what retention gave up cannot be removed", pace.error());
  }
  if (cut_.of_index()) {
    // What the cut frees helps the index more than what it forgets.
    if (!give_room()) cut_.forget_no_more();
    return 0;
  }
  spdlog::warn("retention waits for disk space: {}", to_string(pace.error()));
  return kRetryMs;
}

}  // namespace tally::broker
