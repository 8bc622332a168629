#include "broker/server/index_thread.h"

#include <spdlog/spdlog.h>

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
    mailbox_.take(mail, checkpoint_ ? kRetryMs : kWaitForMail);
    std::vector<Loaded> loaded;
    for (const Load& wanted : mail.loads) loaded.push_back(load(wanted));
    add(counters_.loads, loaded.size());
    if (!loaded.empty()) {
      core_.put([&](CoreMail& to) {
        for (Loaded& values : loaded) to.loaded.push_back(std::move(values));
      });
    }
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

Loaded IndexThread::load(const Load& load) const {
  Loaded loaded{load.ticket, {}};
  if (load.to.empty()) {
    auto value = index_.get(load.from);
    if (!value) die("the index cannot be read", value.error());
    if (*value) loaded.values.emplace_back(load.from, **std::move(value));
    return loaded;
  }
  const auto scanned =
      index_.scan(load.from, load.to, [&](std::string_view key, std::string_view value) {
        if (loaded.values.size() >= load.limit) return false;
        loaded.values.emplace_back(key, value);
        return loaded.values.size() < load.limit;
      });
  if (!scanned) die("the index cannot be read", scanned.error());
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
  const auto written = index_.write(*checkpoint_);
  if (!written && written.error().code == ErrorCode::kDiskFull) {
    spdlog::warn("the index waits for disk space: {}", to_string(written.error()));
    return;
  }
  if (!written) die("the index cannot be written", written.error());
  TALLY_FAIL_POINT("server.after_checkpoint");
  checkpoint_.reset();
  add(counters_.checkpoints, 1);
  core_.put([](CoreMail& to) { to.checkpoint_written = true; });
}

}  // namespace tally::broker
