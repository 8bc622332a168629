#pragma once
// A broker of one topic with one queue and one group, in this process: grants, leases and settles as the real one, and cuts,
// damages or swallows on demand.
//
// Concurrency: one thread of its own; members are for the test's threads.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <tally/message.hpp>
#include <thread>
#include <vector>

#include "protocol/base/requests.h"
#include "protocol/wire/codec.h"

namespace tally::testing {

class FakeBroker {
 public:
  FakeBroker();
  ~FakeBroker();

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  LogId log() const { return log_; }

  void add(const std::string& body, const std::string& key = "");
  /// Ends all connections; their leases are given back without counting an attempt.
  void cut();
  /// The next settle takes effect, but instead of its answer the connection ends.
  void swallow_next_settle();
  /// One bit of the next block that is granted is flipped.
  void damage_next_block();

  /// As if the settle of message `offset` had never arrived, and its lease had run out.
  void deliver_again(std::size_t offset);

  struct Counts {
    std::uint32_t acked = 0, nacked = 0, dead = 0, grants = 0, extensions = 0, expired = 0;
    std::uint32_t refused_settles = 0, connections = 0, leased = 0, waiting = 0;
  };
  Counts counts();
  /// Waits until `reached(counts)`, at most 20 s; false then.
  bool wait(const std::function<bool(const Counts&)>& reached);

 private:
  struct Stored {
    std::string block{};
    enum class State { kReady, kLeased, kDone } state = State::kReady;
    std::uint32_t attempt = 1;
    int owner = -1;          // socket of the lease's connection
    std::int64_t at_ms = 0;  // end of the lease, or ready from then on
  };
  struct Waiting {
    RequestId id{};
    ReceiveRequest request{};
    std::int64_t until_ms = 0;
  };
  struct Session {
    std::string in{};
    std::string out{};
    std::list<Waiting> waiting{};
    bool ends = false;
  };

  void run();
  void serve_all();
  bool read(int fd, Session& session);
  void serve(int fd, Session& session, const wire::Frame& frame);
  Response settle(Session& session, const SettleRequest& request);
  Response extend(int fd, const ExtendLeaseRequest& request);
  bool grant(int fd, Session& session, const Waiting& waiting);
  void expire();
  void end(int fd);

  const LogId log_;
  std::uint16_t port_ = 0;
  int listener_ = -1;  // after port_, which its making fills in
  wire::Codec codec_{};

  std::mutex mutex_{};
  std::condition_variable changed_{};
  std::vector<Stored> messages_{};
  std::map<int, Session> sessions_{};
  Counts counts_{};
  bool cut_ = false, swallow_ = false, damage_ = false, stopping_ = false;
  std::thread thread_{};
};

}  // namespace tally::testing
