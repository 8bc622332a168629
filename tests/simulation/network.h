#pragma once
// Connections as TCP gives them: each delivers in order or ends; nothing is promised between two of them.
//
// Faults choose how a connection breaks: who learns of it and when, and what of the bytes under way still arrives. Bytes that
// arrive after the sender has given up on the connection are what makes requests come late, twice, and out of order.

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>

#include "tests/simulation/world.h"

namespace tally::simulation {

struct NetworkFaults {
  double slow = 0;  ///< of a write: it takes up to `slow_us`
  std::int64_t slow_us = 50 * kMs;
  double stall = 0;  ///< of a write: it takes up to `stall_us`
  std::int64_t stall_us = 2'000 * kMs;
  double cut = 0;                      ///< of a write: the connection breaks
  std::int64_t late_us = 3'000 * kMs;  ///< what was under way may arrive so much later
};

class Network {
 public:
  using Connection = std::uint64_t;

  class Party {
   public:
    virtual ~Party() = default;
    virtual void received(Connection connection, std::string_view bytes) = 0;
    /// The other side closed it, the network broke it, or nobody listens.
    virtual void closed(Connection connection) = 0;
  };
  class Client : public Party {
   public:
    virtual void connected(Connection connection) = 0;
    virtual const std::string& name() const = 0;
  };
  class Listener : public Party {
   public:
    virtual bool accept(Connection connection, const Client& client) = 0;
  };

  explicit Network(World& world) : world_(world), random_(world.random().fork()) {}

  void set_faults(const NetworkFaults& faults) { faults_ = faults; }

  /// Answered by connected() or closed().
  Connection connect(Client& client, Listener& listener);
  void send(Connection connection, const Party& from, std::string bytes);
  /// Closes one's own end; the other side learns of it.
  void close(Connection connection, const Party& by);
  /// The client gives up; what it sent before arrives late, and then the end.
  void give_up_late(Connection connection);
  /// One's own machine is gone; nobody tells the other side.
  void vanish(Connection connection, const Party& from);

 private:
  struct Chunk {
    std::int64_t at_us;
    std::string bytes;  ///< empty: the end
  };
  struct End {
    Party* party = nullptr;  ///< null: closed
    std::deque<Chunk> incoming{};
    std::int64_t last_us = 0;
    bool armed = false;
  };
  struct State {
    std::array<End, 2> ends{};  ///< client, listener
    bool is_cut = false;        ///< nothing more gets through
  };
  using States = std::map<Connection, State>;

  std::int64_t delay_us();
  void put(Connection connection, End& to, std::string bytes, std::int64_t at_us);
  void arm(Connection connection, End& end);
  void deliver(Connection connection, std::size_t side);
  void open(Connection connection, Client& client, Listener& listener);
  void cut(Connection connection, State& state);
  void cut_late(Connection connection, State& state);
  void lose_some(End& end);
  void postpone(End& end);
  void forget_if_over(Connection connection);

  World& world_;
  Random random_;
  NetworkFaults faults_{};
  States states_{};
  Connection newest_ = 0;
};

}  // namespace tally::simulation
