#pragma once
// The one writer of the log: takes all entries that were put while the last sync ran, writes and syncs them with one call,
// reports them durable with one put. The first error ends the process.

#include <thread>

#include "broker/server/counters.h"
#include "broker/server/mail.h"
#include "broker/server/mailbox.h"
#include "store/log.h"

namespace tally::broker {

class LogThread {
 public:
  LogThread(store::Log& log, Mailbox<CoreMail>& core, Counters& counters)
      : log_(log), core_(core), counters_(counters) {}
  ~LogThread() { stop(); }
  LogThread(const LogThread&) = delete;
  LogThread& operator=(const LogThread&) = delete;

  void start();
  /// Returns when all that was put before is written and the thread has ended.
  void stop();
  Mailbox<LogMail>& mailbox() { return mailbox_; }

 private:
  void run();
  void write(LogMail& mail);

  store::Log& log_;
  Mailbox<CoreMail>& core_;
  Counters& counters_;
  Mailbox<LogMail> mailbox_;
  std::vector<store::Entry*> entries_;
  std::thread thread_;
};

}  // namespace tally::broker
