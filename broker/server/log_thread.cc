#include "broker/server/log_thread.h"

#include <iterator>

#include "broker/server/fatal.h"
#include "broker/server/thread_name.h"
#include "protocol/base/fail_point.h"

namespace tally::broker {

void LogThread::start() {
  thread_ = std::thread([this] { run(); });
}

void LogThread::stop() {
  if (!thread_.joinable()) return;
  mailbox_.put([](LogMail& mail) { mail.stop = true; });
  thread_.join();
}

void LogThread::run() {
  name_this_thread("tally-log");
  LogMail mail;
  for (bool stop = false; !stop; mail.clear()) {
    mailbox_.take(mail, kWaitForMail);
    if (!mail.entries.empty()) write(mail);
    stop = mail.stop;
  }
}

void LogThread::write(LogMail& mail) {
  entries_.clear();
  for (const auto& entry : mail.entries) entries_.push_back(entry.get());
  TALLY_FAIL_POINT("server.before_log_write");
  if (auto written = log_.write(entries_); !written)
    die_of_disk("the log cannot be written", written.error());
  TALLY_FAIL_POINT("server.after_log_write");
  const store::Log::Counters counters = log_.counters();
  counters_.syncs = counters.syncs;
  counters_.entries = counters.entries;
  counters_.records = counters.records;
  counters_.log_bytes = counters.bytes;
  counters_.rolls = counters.rolls;
  counters_.log_end = log_.end().value;
  core_.put([&](CoreMail& to) {
    to.durable.insert(to.durable.end(), std::make_move_iterator(mail.entries.begin()),
                      std::make_move_iterator(mail.entries.end()));
  });
}

}  // namespace tally::broker
