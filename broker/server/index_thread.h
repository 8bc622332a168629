#pragma once
// Everything that may wait for the index or for a cold disk: checkpoints, look-ups of keys, blocks that are not in the page
// cache. Look-ups and reads go before a checkpoint. On a full disk the index is given its room; without it the checkpoint
// waits, tried again each second. Any other error of the index ends the process, and the next start rebuilds it.

#include <functional>
#include <span>
#include <thread>

#include "broker/server/counters.h"
#include "broker/server/index_room.h"
#include "broker/server/io_thread.h"
#include "broker/server/mail.h"
#include "broker/server/mailbox.h"
#include "store/index_store.h"
#include "store/log.h"

namespace tally::broker {

class IndexThread {
 public:
  /// `condemn`: called before the process ends for an error of the index.
  IndexThread(store::IndexStore& index, IndexRoom& room, const store::LogReader& log,
              Mailbox<CoreMail>& core, Counters& counters, std::function<void()> condemn)
      : index_(index),
        room_(room),
        log_(log),
        core_(core),
        counters_(counters),
        condemn_(std::move(condemn)) {}
  ~IndexThread() { stop(); }
  IndexThread(const IndexThread&) = delete;
  IndexThread& operator=(const IndexThread&) = delete;

  /// `io_threads`: where grants go back to.
  void start(std::span<const std::unique_ptr<IoThread>> io_threads);
  /// A checkpoint that waits for disk space is given up.
  void stop();
  Mailbox<IndexMail>& mailbox() { return mailbox_; }

 private:
  void run();
  void answer_loads();
  Result<Loaded> load(const Load& load) const;
  ReadGrant read(Grant&& grant) const;
  void write_checkpoint();
  bool give_room();
  [[noreturn]] void die(std::string_view what, const Error& error) const;

  store::IndexStore& index_;
  IndexRoom& room_;
  const store::LogReader& log_;
  Mailbox<CoreMail>& core_;
  Counters& counters_;
  std::function<void()> condemn_;
  std::span<const std::unique_ptr<IoThread>> io_threads_;
  Mailbox<IndexMail> mailbox_;
  std::vector<Load> loads_;                        ///< not answered yet
  std::unique_ptr<store::IndexBatch> checkpoint_;  ///< not written yet
  bool waits_for_space_ = false;                   ///< was told already
  std::thread thread_;
};

}  // namespace tally::broker
