#pragma once
// What the threads of the broker put into each other's mailboxes. Plain values; the order of members is the order in which
// the reader works through them.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/core/core_types.h"
#include "store/entry.h"
#include "store/space.h"

namespace tally::broker {

/// The requests of one read of one session.
struct CommandBatch {
  std::vector<Command> commands{};
  store::Keepalive bytes{};  ///< what their blocks point into
};

struct SessionOpened {
  SessionId session{};
  std::string client{};
};
struct CheckReceipt {
  SessionId session{};
  std::uint64_t challenge = 0;
};
struct StatsAsked {
  SessionId session{};
  RequestId request{};
};

/// To the core thread. Completions come first; a session's end comes after the requests it sent before.
struct CoreMail {
  std::vector<SessionOpened> opened{};
  std::vector<std::unique_ptr<store::Entry>> durable{};
  std::vector<Loaded> loaded{};
  std::vector<CheckReceipt> receipts{};
  std::vector<DamagedMessage> damaged{};
  bool checkpoint_written = false;
  std::optional<KnownBase> base_written{};
  bool base_failed = false;  ///< for lack of space
  std::optional<store::Space> space{};
  std::vector<CommandBatch> batches{};
  std::vector<StatsAsked> stats{};
  std::vector<SessionId> closed{};
  bool stop = false;

  void clear() {
    opened.clear(), durable.clear(), loaded.clear(), receipts.clear(), damaged.clear(),
        batches.clear(), stats.clear(), closed.clear();
    base_written.reset(), space.reset();
    checkpoint_written = base_failed = stop = false;
  }
};

/// A grant whose blocks were read from the disk: the payload, or why there is none.
struct ReadGrant {
  Grant grant{};
  Result<std::string> payload{std::string{}};
};

/// To an I/O thread.
struct IoMail {
  std::vector<Reply> replies{};
  std::vector<Grant> grants{};
  std::vector<ReadGrant> read_grants{};
  std::vector<AskCheck> checks{};
  bool resume = false;  ///< reading goes on

  void clear() {
    replies.clear(), grants.clear(), read_grants.clear(), checks.clear();
    resume = false;
  }
};

/// To the log thread.
struct LogMail {
  std::vector<std::unique_ptr<store::Entry>> entries{};
  bool stop = false;

  void clear() { entries.clear(), stop = false; }
};

/// To the index thread.
struct IndexMail {
  std::vector<Load> loads{};
  std::vector<Grant> cold_grants{};
  std::unique_ptr<store::IndexBatch> checkpoint{};
  bool base = false;  ///< is to be made of this checkpoint
  std::optional<Cut> cut{};
  bool stop = false;

  void clear() {
    loads.clear(), cold_grants.clear(), checkpoint.reset(), cut.reset();
    base = stop = false;
  }
};

}  // namespace tally::broker
