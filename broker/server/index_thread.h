#pragma once
// Everything that may wait for the index or for a cold disk: checkpoints, look-ups of keys, blocks that are not in the page
// cache; and, in steps between them, bases and what retention removes.
//
// On a full disk the index is given its room; without it checkpoints and look-ups wait, tried again each second, a base is
// given up, and retention goes on. Any other error of the index ends the process, and the next start rebuilds it; so does any
// other error of a base or a removal, as one of the log would.

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "broker/server/base_job.h"
#include "broker/server/counters.h"
#include "broker/server/cut_job.h"
#include "broker/server/index_room.h"
#include "broker/server/io_thread.h"
#include "broker/server/mail.h"
#include "broker/server/mailbox.h"
#include "store/index_store.h"
#include "store/log.h"

namespace tally::broker {

/// What the index thread works with. Everything here outlives it.
struct IndexWiring {
  store::IndexStore& index;
  IndexRoom& room;
  const store::Log& log;
  store::FileSystem& files;
  std::string base_directory{};
  ShardId shard{};
  Mailbox<CoreMail>& core;
  Counters& counters;
  std::function<void()> condemn{};  ///< called before the process ends for an error of the index
};

class IndexThread {
 public:
  explicit IndexThread(IndexWiring wiring);
  ~IndexThread() { stop(); }
  IndexThread(const IndexThread&) = delete;
  IndexThread& operator=(const IndexThread&) = delete;

  /// `io_threads`: where grants go back to.
  void start(std::span<const std::unique_ptr<IoThread>> io_threads);
  /// What waits for disk space is given up, and so is a base that is not done. The next start goes on with a cut.
  void stop();
  Mailbox<IndexMail>& mailbox() { return mailbox_; }

 private:
  void run();
  void take_over(IndexMail& mail);
  void answer_loads();
  Result<Loaded> load(const Load& load) const;
  Loaded load_from_base(const Load& load) const;
  ReadGrant read(Grant&& grant) const;
  void write_checkpoint();
  void checkpoint_written();
  bool give_room();
  void retry_later();
  void step();
  void step_base();
  std::int64_t step_cut();
  void give_up_base();
  [[noreturn]] void die(std::string_view what, const Error& error) const;
  [[noreturn]] void die(bool of_index, std::string_view what, const Error& error) const;

  const IndexWiring with_;
  const std::shared_ptr<const store::LogReader> log_;
  std::span<const std::unique_ptr<IoThread>> io_threads_;
  Mailbox<IndexMail> mailbox_;
  std::vector<Load> loads_;                        ///< not answered yet
  std::unique_ptr<store::IndexBatch> checkpoint_;  ///< not written yet
  bool waits_for_space_ = false;                   ///< was told already
  std::int64_t retry_at_ms_ = 0;                   ///< boot time; what waits for space
  bool base_wanted_ = false;                       ///< of that checkpoint
  std::optional<BaseJob> base_;
  CutJob cut_;
  std::int64_t wait_ms_ = 0;  ///< for mail
  std::thread thread_;
};

}  // namespace tally::broker
