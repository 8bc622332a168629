#pragma once
// The thread of BrokerCore: feeds it with mail, takes its entries to the log thread and its effects to the I/O threads.
//
// Operation: one round: time, completions, requests; then up to two entries are with the log thread, so that it always has
// the next one ready and everything that arrives during a sync goes into one entry. All effects of a round reach each I/O
// thread with one put.
// Concurrency: mailbox() and stop() from any thread; all else on the thread itself.

#include <atomic>
#include <future>
#include <memory>
#include <span>
#include <thread>

#include "broker/core/broker_core.h"
#include "broker/server/counters.h"
#include "broker/server/io_thread.h"
#include "broker/server/mail.h"
#include "broker/server/mailbox.h"

namespace tally::broker {

class CoreThread {
 public:
  CoreThread(BrokerCore& core, Mailbox<CoreMail>& mailbox, Mailbox<LogMail>& log,
             Mailbox<IndexMail>& index, std::atomic<bool>& reading_paused, const Counters& counters)
      : core_(core),
        mailbox_(mailbox),
        log_(log),
        index_(index),
        reading_paused_(reading_paused),
        counters_(counters) {}
  ~CoreThread();
  CoreThread(const CoreThread&) = delete;
  CoreThread& operator=(const CoreThread&) = delete;

  void start(std::span<const std::unique_ptr<IoThread>> io_threads);
  /// Drains: what was put before is answered, then a Mark and a checkpoint end the log. Returns when they are on disk.
  void stop();

 private:
  enum class Stop : std::uint8_t { kNo, kDraining, kMarking, kCheckpointing, kDone };

  void run();
  void round(CoreMail& mail);
  void durable(std::vector<std::unique_ptr<store::Entry>>& entries);
  void feed_log();
  void feed_index();
  void distribute_effects();
  static void tell(const std::vector<Loss>& losses);
  void answer_stats(const std::vector<StatsAsked>& asked);
  void pause_or_resume();
  void advance_stop();

  BrokerCore& core_;
  Mailbox<CoreMail>& mailbox_;
  Mailbox<LogMail>& log_;
  Mailbox<IndexMail>& index_;
  std::atomic<bool>& reading_paused_;
  const Counters& counters_;
  std::span<const std::unique_ptr<IoThread>> io_threads_;
  std::thread thread_;

  Now now_{};
  std::size_t entries_with_log_ = 0;
  bool checkpoint_running_ = false;
  Stop stop_ = Stop::kNo;
  std::int64_t stop_by_ms_ = 0;     ///< of kCheckpointing
  std::vector<IoMail> outgoing_{};  ///< per I/O thread
};

}  // namespace tally::broker
