#pragma once
// What an I/O thread and its sessions are connected to. Everything here outlives them.

#include <atomic>
#include <cstdint>

#include "broker/server/connection_quota.h"
#include "broker/server/counters.h"
#include "broker/server/mail.h"
#include "broker/server/mailbox.h"
#include "broker/server/receive_buffer.h"
#include "broker/server/settings.h"
#include "store/log.h"

namespace tally::broker {

/// Times and sizes of a session. Tests make them shorter.
struct SessionLimits {
  std::int64_t hello_ms = limits::kHelloMs;
  std::int64_t frame_ms = limits::kFrameMs;
  std::int64_t idle_ms = limits::kPingMs * limits::kPingsMissedMax;
  std::int64_t closing_ms = limits::kClosingMs;
  std::size_t unsent_soft_bytes = limits::kUnsentSoftBytes;
  std::size_t unsent_max_bytes = limits::kUnsentBytesMax;
};

struct Wiring {
  Settings settings{};
  SessionLimits session{};
  LogId log_id{};
  ShardId shard{};
  Term term{};
  const store::LogReader* log = nullptr;
  Mailbox<CoreMail>* core = nullptr;
  Mailbox<IndexMail>* index = nullptr;
  ChunkPool* chunks = nullptr;
  ConnectionQuota* connections = nullptr;
  Counters* counters = nullptr;
  /// Set by the core thread; after clearing it, it sends every I/O thread `resume`.
  const std::atomic<bool>* reading_paused = nullptr;
};

/// The I/O thread of a session stands in the low bits of its id.
inline constexpr unsigned kIoThreadBits = 6;
inline SessionId make_session_id(std::uint64_t sequence, unsigned io_thread) {
  return SessionId(sequence << kIoThreadBits | io_thread);
}
inline unsigned io_thread_of(SessionId session) {
  return static_cast<unsigned>(session.value & ((1u << kIoThreadBits) - 1));
}

}  // namespace tally::broker
