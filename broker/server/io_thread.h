#pragma once
// One I/O thread: an event loop, the sessions that live on it, and its mailbox.
//
// Operation: after each round of events, all requests read in it go to the core with one put, and each session that has
// something to say writes once. A timer closes what has run out of time.
// Concurrency: put(), adopt(), stop_reading(), finish() from any thread; everything else on the thread itself.

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "broker/server/session.h"
#include "broker/server/wiring.h"
#include "protocol/wire/codec.h"

namespace tally::broker {

class IoThread {
 public:
  IoThread(unsigned number, const Wiring& wiring);
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  void start();
  asio::io_context& context() { return context_; }

  template <typename Append>
  void put(Append&& append) {
    bool wake = false;
    {
      std::lock_guard lock(mutex_);
      append(mail_);
      wake = !std::exchange(mail_posted_, true);
    }
    if (wake) post_mail();
  }

  /// Takes over an accepted connection; with an error: tells it and closes.
  void adopt(asio::ip::tcp::socket socket, std::string address, std::optional<Error> refusal);
  /// First phase of a stop. When the future is ready, nothing more will go to the core.
  std::future<void> stop_reading();
  /// Second phase: writes what is left, closes all, ends the thread. Returns when it has ended.
  void finish();

  // --- for sessions ---------------------------------------------------------------------------------------------------
  const Wiring& wiring() const { return wiring_; }
  wire::Codec& codec() { return codec_; }
  ChunkSource& chunks() { return chunks_; }
  std::int64_t now_ms() const { return now_ms_; }
  bool reading_allowed() const;
  /// Calls unpark() when reading is allowed again, or memory may have come back.
  void park(std::shared_ptr<Session> session) { parked_.push_back(std::move(session)); }
  void mark_dirty(std::shared_ptr<Session> session) { dirty_.push_back(std::move(session)); }
  void to_core(CommandBatch&& batch);
  void opened(SessionId session, std::string client);
  void receipt(SessionId session, std::uint64_t challenge);
  void ask_stats(SessionId session, RequestId request);
  /// `greeted`: the core knows it.
  void closed(SessionId session, bool greeted);
  /// Buffers for answers go round among the sessions that have something to say.
  std::string take_buffer();
  void give_buffer(std::string&& buffer);

 private:
  void run();
  void post_mail();
  void take_mail();
  void deliver(IoMail& mail);
  Session* find(SessionId session);
  void after_events();
  void wake_parked();
  void sweep();

  const unsigned number_;
  const Wiring& wiring_;
  asio::io_context context_;
  asio::steady_timer sweep_timer_;
  wire::Codec codec_;
  ChunkSource chunks_;
  std::thread thread_;

  std::mutex mutex_;
  IoMail mail_;  // guarded by mutex_
  bool mail_posted_ = false;

  IoMail taken_;
  CoreMail core_mail_;  ///< collected for the core
  std::size_t core_commands_ = 0;
  bool core_mail_filled_ = false;
  std::unordered_map<SessionId, std::shared_ptr<Session>> sessions_;
  std::vector<SessionId> gone_;
  std::vector<std::shared_ptr<Session>> dirty_, flushing_, parked_;
  std::vector<std::string> buffers_;
  std::uint64_t session_sequence_ = 0;
  std::int64_t now_ms_;
  bool reading_stopped_ = false;
  std::int64_t finish_by_ms_ =
      0;  ///< not 0: the thread ends when all sessions are gone, at the latest then
};

}  // namespace tally::broker
