// The broker's threads, as queues with delays: core, log, index, and the way out.

#include <algorithm>
#include <limits>

#include "tests/simulation/broker_machine.h"

namespace tally::simulation {
namespace {

constexpr std::size_t kEntriesWithLogMax = 2;
constexpr std::int64_t kTickMsMax = 1'000;

}  // namespace

// --- connections ---

bool BrokerMachine::accept(Network::Connection connection, const Network::Client& client) {
  if (sessions_ == nullptr || stopping_ != Stopping::kNo) return false;
  clients_[sessions_->accept(connection, boot_ms()).value] = client.name();
  return true;
}

void BrokerMachine::received(Network::Connection connection, std::string_view bytes) {
  if (sessions_ == nullptr || stopping_ != Stopping::kNo) return;
  sessions_->received(connection, bytes, boot_ms(), wall_.at(world()));
}

void BrokerMachine::closed(Network::Connection connection) {
  if (sessions_ != nullptr) sessions_->closed(connection);
}

// --- core ---

void BrokerMachine::wake_core() {
  if (std::exchange(core_awake_, true)) return;
  after(random_.between(5, 100), [this] { round(); });
}

void BrokerMachine::round() {
  core_awake_ = false;
  broker::CoreMail mail;
  std::swap(mail, inbox_);
  core_->tick(now());
  for (broker::SessionOpened& opened : mail.opened) {
    core_->session_opened(opened.session, std::move(opened.client));
  }
  for (auto& entry : mail.durable) {
    log_watch_.seen(entry->view());
    acknowledged_ = entry->header().index.value;
    core_->committed(std::move(entry));
  }
  entries_with_log_ -= mail.durable.size();
  if (!mail.durable.empty() && fate(BrokerStep::kAfterApply)) return;
  for (broker::Loaded& loaded : mail.loaded) core_->loaded(std::move(loaded));
  for (const broker::CheckReceipt& receipt : mail.receipts) {
    around_.observer.add(clients_[receipt.session.value], test::CheckReceived{receipt.challenge});
    core_->check_received(receipt.session, receipt.challenge);
  }
  if (mail.checkpoint_written) {
    core_->checkpoint_done();
    checkpoint_running_ = false;
  }
  if (mail.base_written) core_->base_written(*mail.base_written);
  if (mail.base_failed) core_->base_failed();
  if (mail.space) core_->set_space(*mail.space);
  for (broker::CommandBatch& batch : mail.batches) {
    for (const broker::Command& command : batch.commands) around_.watch.admitted(command);
    core_->admit(batch.commands, batch.bytes);
  }
  for (const SessionId session : mail.closed) core_->session_closed(session);
  feed_log();
  feed_index();
  distribute();
  for (const SessionId session : mail.closed) {
    around_.observer.add(clients_[session.value], test::Disconnected{});
  }
  if (stopping_ != Stopping::kNo) return advance_stop();
  arm_timer();
}

void BrokerMachine::arm_timer() {
  const std::int64_t wait_ms =
      std::clamp<std::int64_t>(core_->next_tick_ms() - boot_ms(), 1, kTickMsMax);
  const std::int64_t at_us = world().now_us() + wait_ms * kMs;
  if (at_us >= timer_us_) return;
  timer_us_ = at_us;
  after(wait_ms * kMs, [this] {
    if (world().now_us() < timer_us_) return;
    timer_us_ = std::numeric_limits<std::int64_t>::max();
    wake_core();
  });
}

// --- log ---

void BrokerMachine::feed_log() {
  while (entries_with_log_ < kEntriesWithLogMax && core_->has_entry()) {
    to_log_.push_back(core_->take_entry());
    ++entries_with_log_;
  }
  if (log_busy_ || to_log_.empty()) return;
  log_busy_ = true;
  after(random_.between(5, 50), [this] { write_log(); });
}

void BrokerMachine::write_log() {
  if (fate(BrokerStep::kBeforeWrite)) return;
  std::vector<store::Entry*> entries;
  for (const auto& entry : to_log_) entries.push_back(entry.get());
  const bool interrupted =
      random_.chance(faults_.death[static_cast<std::size_t>(BrokerStep::kInsideWrite)]);
  const bool failing = !interrupted && random_.chance(faults_.sync_failure);
  if (interrupted || failing) {
    disk_->inject({.number = disk_->operations() + random_.below(3),
                   .for_ever = interrupted,
                   .half_written = random_.one_in(2)});
  }
  const auto result = shard_.log->write(entries);
  if (!result) {
    if (interrupted) return die(random_.chance(faults_.power_cut), "inside a write");
    if (!failing) {
      around_.observer.violate(test::Rule::kService,
                               "a write failed: " + to_string(result.error()));
    }
    return die(random_.chance(faults_.power_cut / 2), "of a disk error");
  }
  disk_->heal();
  durable_ = std::exchange(to_log_, {});
  if (fate(BrokerStep::kAfterSync)) return;
  std::int64_t took_us = random_.between(80, 400);
  if (random_.chance(faults_.slow_sync)) took_us += random_.between(1, 300) * kMs;
  after(took_us, [this] { written(); });
}

void BrokerMachine::written() {
  std::move(durable_.begin(), durable_.end(), std::back_inserter(inbox_.durable));
  durable_.clear();
  log_busy_ = false;
  if (!to_log_.empty()) {
    log_busy_ = true;
    after(random_.between(5, 50), [this] { write_log(); });
  }
  wake_core();
}

std::uint64_t BrokerMachine::ends_in(
    const std::vector<std::unique_ptr<store::Entry>>& entries) const {
  std::uint64_t ends = 0;
  for (const auto& entry : entries) {
    for (const store::RecordView& record : entry->view().records) {
      ends += record.header.type == store::RecordType::kEnd;
    }
  }
  return ends;
}

// --- index ---

void BrokerMachine::feed_index() {
  broker::Effects& effects = core_->effects();
  for (broker::Load& load : std::exchange(effects.loads, {})) {
    index_does([this, load = std::move(load)] { serve_load(load); });
  }
  if (effects.cut) {
    if (effects.cut->keep_from < effects.cut->horizon)
      around_.observer.hit(Race::kRetentionMeetsHalf);
    index_does([this, cut = *effects.cut] {
      cut_->begin(cut);
      work_in_background();
    });
    effects.cut.reset();
  }
  if (checkpoint_running_ || stopping_ != Stopping::kNo || !core_->checkpoint_due()) return;
  write_checkpoint();
}

void BrokerMachine::write_checkpoint() {
  checkpoint_running_ = true;
  const bool with_base = core_->base_due();
  checkpoint_ = core_->take_checkpoint();
  index_does([this, with_base] {
    shard_.index->write(*checkpoint_).value();
    checkpoint_.reset();
    inbox_.checkpoint_written = true;
    if (with_base) base_.emplace(*shard_.index, *disk_, shard_.base_directory, ShardId(0));
    work_in_background();
    wake_core();
  });
}

void BrokerMachine::serve_load(const broker::Load& load) {
  broker::Loaded loaded{.ticket = load.ticket};
  const auto take = [&](std::string_view key, std::string_view value) {
    if (key >= load.from && key < load.to) loaded.values.emplace_back(key, value);
    return loaded.values.size() < load.limit && key < load.to;
  };
  if (load.base != Lsn(0)) {
    if (!store::read_base(*disk_, shard_.base_directory, load.base, take)) loaded.values.clear();
  } else if (!load.to.empty()) {
    shard_.index->scan(load.from, load.to, take).value();
  } else if (auto value = shard_.index->get(load.from).value()) {
    loaded.values.emplace_back(load.from, *value);
  }
  inbox_.loaded.push_back(std::move(loaded));
  wake_core();
}

/// Bases and cuts, a step at a time, when the index has nothing else to do.
void BrokerMachine::work_in_background() {
  if (std::exchange(background_busy_, true)) return;
  after(random_.between(20, 3'000), [this] {
    background_busy_ = false;
    if (step_in_background() && (base_ || !cut_->done())) work_in_background();
  });
}

bool BrokerMachine::step_in_background() {
  const bool interrupted =
      random_.chance(faults_.death[static_cast<std::size_t>(BrokerStep::kInsideWrite)]);
  if (interrupted) {
    disk_->inject({.number = disk_->operations() + random_.below(3),
                   .for_ever = true,
                   .half_written = random_.one_in(2)});
  }
  Result<void> done;
  if (base_) {
    const auto made = base_->step();
    if (!made) {
      done = made.error();
      inbox_.base_failed = true;
    } else {
      inbox_.base_written = *made;
    }
    if (!made || *made) base_.reset();
    wake_core();
  } else if (!cut_->done()) {
    if (const auto step = cut_->step(); !step) done = step.error();
  }
  if (interrupted) {
    die(random_.chance(faults_.power_cut), "at its bases and cuts");
    return false;
  }
  if (!done && done.error().code != ErrorCode::kDiskFull) {
    around_.observer.violate(test::Rule::kService, "bases and cuts: " + to_string(done.error()));
  }
  return true;
}

void BrokerMachine::index_does(Task task) {
  to_index_.push_back(std::move(task));
  if (std::exchange(index_busy_, true)) return;
  work_index();
}

void BrokerMachine::work_index() {
  after(random_.between(20, 1'500), [this] {
    const Task task = std::move(to_index_.front());
    to_index_.pop_front();
    task();
    index_busy_ = !to_index_.empty();
    if (index_busy_) work_index();
  });
}

// --- the way out ---

void BrokerMachine::distribute() {
  if (core_->effects().empty()) return;
  for (const broker::AskCheck& check : core_->effects().checks) note_check(check);
  outgoing_.push_back(std::exchange(core_->effects(), {}));
  answered_us_ = std::max(answered_us_, world().now_us() + random_.between(2, 60));
  after(answered_us_ - world().now_us(), [this] {
    if (fate(BrokerStep::kBeforeAnswer)) return;
    broker::Effects effects = std::move(outgoing_.front());
    outgoing_.pop_front();
    answer(effects);
  });
}

void BrokerMachine::note_check(const broker::AskCheck& check) {
  const CheckRequest& asked = check.request;
  const std::string transaction = around_.observer.name_of(asked.transaction, asked.handle);
  around_.observer.challenged(asked.challenge, {clients_[check.session.value], transaction});
  around_.observer.add(clients_[check.session.value],
                       test::CheckAsked{.transaction = transaction,
                                        .challenge = asked.challenge,
                                        .attempt = asked.attempt,
                                        .broker_time_ms = core_->now_ms()});
}

void BrokerMachine::answer(broker::Effects& effects) {
  for (const broker::Reply& reply : effects.replies) {
    around_.watch.replied(reply);
    sessions_->answer(reply);
  }
  for (broker::Grant& grant : effects.grants) {
    const auto answered = sessions_->answer(std::move(grant), log_watch_);
    if (!answered) {
      around_.observer.violate(test::Rule::kLost,
                               "a granted block cannot be read: " + to_string(answered.error()));
    }
  }
  for (const broker::AskCheck& check : effects.checks) sessions_->ask(check);
}

// --- orderly stop ---

void BrokerMachine::stop_orderly() {
  if (core_ == nullptr || stopping_ != Stopping::kNo) return;
  world().trace(name(), "stops in order");
  stopping_ = Stopping::kDraining;
  core_->drain();
  wake_core();
}

void BrokerMachine::advance_stop() {
  const bool log_is_quiet = entries_with_log_ == 0 && !core_->has_entry();
  if (stopping_ == Stopping::kDraining && log_is_quiet && core_->idle()) {
    core_->propose_mark();
    stopping_ = Stopping::kMarking;
    feed_log();
  } else if (stopping_ == Stopping::kMarking && log_is_quiet && !checkpoint_running_) {
    stopping_ = Stopping::kCheckpointing;
    write_checkpoint();
  } else if (stopping_ == Stopping::kCheckpointing && !checkpoint_running_ && outgoing_.empty()) {
    end_process(false);
    return come_back();
  }
  wake_core();
}

}  // namespace tally::simulation
