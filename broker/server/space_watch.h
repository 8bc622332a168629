#pragma once
// Passes on how much room the disk leaves the log: to the core, to Stats, and to people.
//
// Operation: changed() is LogOptions::space_changed. Concurrency: calls do not overlap (the log sees to that), on any thread.
// Everything it refers to outlives the log.

#include <string>

#include "broker/server/counters.h"
#include "broker/server/mail.h"
#include "broker/server/mailbox.h"
#include "store/file_system.h"
#include "store/space.h"

namespace tally::broker {

class SpaceWatch {
 public:
  SpaceWatch(store::FileSystem& files, std::string log_directory, Mailbox<CoreMail>& core,
             Counters& counters)
      : files_(files), log_directory_(std::move(log_directory)), core_(core), counters_(counters) {}

  void changed(store::Space space);

 private:
  void tell(store::Space space, std::uint64_t low_ms) const;

  store::FileSystem& files_;
  const std::string log_directory_;
  Mailbox<CoreMail>& core_;
  Counters& counters_;
};

/// How long sends were refused for lack of space since the start, up to now.
std::uint64_t space_low_ms(const Counters& counters);

}  // namespace tally::broker
