#include "broker/server/index_thread.h"

#include <spdlog/spdlog.h>

#include <iterator>
#include <utility>

#include "broker/server/fatal.h"
#include "broker/server/thread_name.h"
#include "protocol/base/fail_point.h"

namespace tally::broker {
namespace {

constexpr std::int64_t kRetryMs = 1'000;

}  // namespace

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
    mailbox_.take(mail, checkpoint_ || !loads_.empty() ? kRetryMs : kWaitForMail);
    loads_.insert(loads_.end(), std::make_move_iterator(mail.loads.begin()),
                  std::make_move_iterator(mail.loads.end()));
    if (!loads_.empty()) answer_loads();
    for (Grant& grant : mail.cold_grants) {
      ReadGrant answer = read(std::move(grant));
      io_threads_[io_thread_of(answer.grant.session)]->put(
          [&](IoMail& to) { to.read_grants.push_back(std::move(answer)); });
    }
    if (mail.checkpoint) checkpoint_ = std::move(mail.checkpoint);
    if (checkpoint_) write_checkpoint();
    stop = mail.stop;
  }
}

void IndexThread::die(std::string_view what, const Error& error) const {
  condemn_();
  die_of_disk(what, error);
}

/// Those that the index cannot answer for lack of space wait.
void IndexThread::answer_loads() {
  std::vector<Loaded> answers;
  while (answers.size() < loads_.size()) {
    auto loaded = load(loads_[answers.size()]);
    if (!loaded && loaded.error().code == ErrorCode::kDiskFull) {
      if (give_room()) continue;
      break;
    }
    if (!loaded) die("the index cannot be read", loaded.error());
    answers.push_back(*std::move(loaded));
  }
  if (answers.empty()) return;
  loads_.erase(loads_.begin(), loads_.begin() + static_cast<std::ptrdiff_t>(answers.size()));
  add(counters_.loads, answers.size());
  core_.put([&](CoreMail& to) {
    for (Loaded& values : answers) to.loaded.push_back(std::move(values));
  });
}

Result<Loaded> IndexThread::load(const Load& load) const {
  Loaded loaded{load.ticket, {}};
  if (load.to.empty()) {
    TALLY_TRY(auto value, index_.get(load.from));
    if (value) loaded.values.emplace_back(load.from, *std::move(value));
    return loaded;
  }
  TALLY_TRY_VOID(index_.scan(load.from, load.to, [&](std::string_view key, std::string_view value) {
    if (loaded.values.size() >= load.limit) return false;
    loaded.values.emplace_back(key, value);
    return loaded.values.size() < load.limit;
  }));
  return loaded;
}

ReadGrant IndexThread::read(Grant&& grant) const {
  ReadGrant answer{std::move(grant)};
  const std::vector<DeliveryHeader>& deliveries = answer.grant.response.deliveries;
  for (std::size_t i = 0; i < deliveries.size();) {
    auto read = log_.read_block(deliveries[i].lsn, answer.grant.record_bytes[i],
                                store::LogReader::Wait::kDisk, *answer.payload);
    if (read) {
      ++i;
      continue;
    }
    answer.grant.drop(i);
    if (deliveries.empty()) {
      answer.payload = std::move(read).error();
    } else {
      spdlog::error("a message cannot be delivered: {}", to_string(read.error()));
    }
  }
  return answer;
}

void IndexThread::write_checkpoint() {
  TALLY_FAIL_POINT("server.before_checkpoint");
  auto written = index_.write(*checkpoint_);
  if (!written && written.error().code == ErrorCode::kDiskFull && give_room()) {
    written = index_.write(*checkpoint_);
  }
  if (!written && written.error().code == ErrorCode::kDiskFull) {
    if (!std::exchange(waits_for_space_, true))
      spdlog::warn("the index waits for disk space: {}", to_string(written.error()));
    return;
  }
  if (!written) die("the index cannot be written", written.error());
  TALLY_FAIL_POINT("server.after_checkpoint");
  checkpoint_.reset();
  if (std::exchange(waits_for_space_, false)) spdlog::info("the index goes on");
  add(counters_.checkpoints, 1);
  core_.put([](CoreMail& to) { to.checkpoint_written = true; });
  if (broker::read(counters_.space) != static_cast<std::uint64_t>(store::Space::kEnough)) return;
  if (const auto made = room_.make(); !made)
    die_of_disk("the room of the index cannot be made", made.error());
}

bool IndexThread::give_room() {
  const auto given = room_.give();
  if (!given) die_of_disk("the room of the index cannot be given", given.error());
  return *given;
}

}  // namespace tally::broker
