#include "broker/server/core_thread.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>

#include "broker/server/stats.h"
#include "broker/server/thread_name.h"
#include "protocol/base/clock.h"
#include "protocol/base/fail_point.h"

namespace tally::broker {
namespace {

constexpr std::size_t kEntriesWithLogMax = 2;
constexpr std::int64_t kWaitMsMax = 1'000;
constexpr std::int64_t kLastCheckpointMs = 10'000;
constexpr std::size_t kLossesToldMax = 20;

Now read_clock() { return {system_clock().wall_ms(), system_clock().boot_ms()}; }

}  // namespace

CoreThread::~CoreThread() { stop(); }

void CoreThread::start(std::span<const std::unique_ptr<IoThread>> io_threads) {
  io_threads_ = io_threads;
  outgoing_.resize(io_threads.size());
  thread_ = std::thread([this] { run(); });
}

void CoreThread::stop() {
  if (!thread_.joinable()) return;
  mailbox_.put([](CoreMail& mail) { mail.stop = true; });
  thread_.join();
}

void CoreThread::run() {
  name_this_thread("tally-core");
  CoreMail mail;
  while (stop_ != Stop::kDone) {
    const std::int64_t wait_ms = core_.next_tick_ms() - system_clock().boot_ms();
    mailbox_.take(mail, std::clamp<std::int64_t>(wait_ms, 0, kWaitMsMax));
    round(mail);
    mail.clear();
  }
}

void CoreThread::round(CoreMail& mail) {
  now_ = read_clock();
  core_.tick(now_);
  for (SessionOpened& opened : mail.opened)
    core_.session_opened(opened.session, std::move(opened.client));
  durable(mail.durable);
  for (Loaded& loaded : mail.loaded) core_.loaded(std::move(loaded));
  for (const CheckReceipt& receipt : mail.receipts)
    core_.check_received(receipt.session, receipt.challenge);
  for (const DamagedMessage& message : mail.damaged) core_.message_damaged(message);
  if (mail.checkpoint_written) {
    core_.checkpoint_done();
    checkpoint_running_ = false;
  }
  if (mail.base_written) core_.base_written(*mail.base_written);
  if (mail.base_failed) core_.base_failed();
  if (mail.space) core_.set_space(*mail.space);
  for (CommandBatch& batch : mail.batches) core_.admit(batch.commands, batch.bytes);
  answer_stats(mail.stats);
  for (SessionId session : mail.closed) core_.session_closed(session);
  if (mail.stop && stop_ == Stop::kNo) {
    core_.drain();
    stop_ = Stop::kDraining;
  }
  feed_log();
  feed_index();
  if (stop_ != Stop::kNo) advance_stop();
  distribute_effects();
  pause_or_resume();
}

// The seam of replication: on one node what is durable is committed.
void CoreThread::durable(std::vector<std::unique_ptr<store::Entry>>& entries) {
  entries_with_log_ -= entries.size();
  for (auto& entry : entries) core_.committed(std::move(entry));
}

void CoreThread::feed_log() {
  if (entries_with_log_ >= kEntriesWithLogMax || !core_.has_entry()) return;
  log_.put([&](LogMail& mail) {
    while (entries_with_log_ < kEntriesWithLogMax && core_.has_entry()) {
      mail.entries.push_back(core_.take_entry());
      ++entries_with_log_;
    }
  });
}

void CoreThread::feed_index() {
  Effects& effects = core_.effects();
  std::vector<Load>& loads = effects.loads;
  const bool checkpoint = !checkpoint_running_ && stop_ == Stop::kNo && core_.checkpoint_due();
  if (loads.empty() && !checkpoint && !effects.cut) return;
  index_.put([&](IndexMail& mail) {
    std::move(loads.begin(), loads.end(), std::back_inserter(mail.loads));
    if (effects.cut) mail.cut = effects.cut;
    if (!checkpoint) return;
    mail.base = core_.base_due();
    mail.checkpoint = core_.take_checkpoint();
  });
  loads.clear();
  effects.cut.reset();
  checkpoint_running_ |= checkpoint;
}

void CoreThread::distribute_effects() {
  Effects& effects = core_.effects();
  if (effects.empty()) return;
  tell(effects.losses);
  TALLY_FAIL_POINT("server.before_answer");
  for (Reply& reply : effects.replies)
    outgoing_[io_thread_of(reply.session)].replies.push_back(std::move(reply));
  for (Grant& grant : effects.grants)
    outgoing_[io_thread_of(grant.session)].grants.push_back(std::move(grant));
  for (AskCheck& check : effects.checks)
    outgoing_[io_thread_of(check.session)].checks.push_back(std::move(check));
  effects.clear();
  const auto move_all = [](auto& to, auto& from) {
    if (to.empty()) return std::swap(to, from);
    std::move(from.begin(), from.end(), std::back_inserter(to));
  };
  for (std::size_t i = 0; i < outgoing_.size(); ++i) {
    IoMail& from = outgoing_[i];
    if (from.replies.empty() && from.grants.empty() && from.checks.empty()) continue;
    io_threads_[i]->put([&](IoMail& to) {
      move_all(to.replies, from.replies);
      move_all(to.grants, from.grants);
      move_all(to.checks, from.checks);
    });
    from.clear();
  }
}

void CoreThread::tell(const std::vector<Loss>& losses) {
  for (std::size_t i = 0; i < losses.size() && i < kLossesToldMax; ++i) {
    spdlog::warn("retention: group {} lost {} messages of topic {} unread", losses[i].group,
                 losses[i].messages, losses[i].topic);
  }
  if (losses.size() <= kLossesToldMax) return;
  spdlog::warn("retention: so did {} other groups and topics; see tally group show",
               losses.size() - kLossesToldMax);
}

void CoreThread::answer_stats(const std::vector<StatsAsked>& asked) {
  for (const StatsAsked& stats : asked) {
    core_.effects().replies.push_back({stats.session, stats.request, RequestKind::kStats,
                                       Response(collect_stats(counters_, core_.counters()))});
  }
}

void CoreThread::pause_or_resume() {
  const bool pause = core_.must_pause_reading();
  if (pause == reading_paused_.load(std::memory_order_relaxed)) return;
  reading_paused_.store(pause, std::memory_order_release);
  if (pause) return;
  for (const auto& thread : io_threads_) {
    thread->put([](IoMail& mail) { mail.resume = true; });
  }
}

void CoreThread::advance_stop() {
  const bool log_is_quiet = entries_with_log_ == 0 && !core_.has_entry();
  if (stop_ == Stop::kDraining && log_is_quiet && core_.idle()) {
    core_.propose_mark();
    stop_ = Stop::kMarking;
    feed_log();
  } else if (stop_ == Stop::kMarking && log_is_quiet && !checkpoint_running_) {
    stop_ = Stop::kCheckpointing;
    stop_by_ms_ = now_.boot_ms + kLastCheckpointMs;
    checkpoint_running_ = true;
    index_.put([&](IndexMail& mail) { mail.checkpoint = core_.take_checkpoint(); });
  } else if (stop_ == Stop::kCheckpointing && !checkpoint_running_) {
    stop_ = Stop::kDone;
  } else if (stop_ == Stop::kCheckpointing && now_.boot_ms > stop_by_ms_) {
    spdlog::warn(
        "the last checkpoint was not written in time; the next start replays the log behind it");
    stop_ = Stop::kDone;
  }
}

}  // namespace tally::broker
