#pragma once
// The load during which a broker is killed: pipelined sends and transactions of one client, noted in the oracle.

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <string>

#include "protocol/net/client.h"
#include "tests/crash/crash_oracle.h"

namespace tally::test {

class CrashLoad {
 public:
  struct Options {
    std::string broker{};
    std::string topic{};
    std::size_t body_bytes = 0;
    std::uint32_t sends_in_flight = 64;
    std::uint32_t transactions_in_flight = 32;
    std::uint64_t seed = 0;
  };
  /// Begins at once; goes on until the broker is gone. The oracle is used on the client's network thread meanwhile.
  CrashLoad(Options options, CrashOracle& oracle);
  /// Ends the client; afterwards the oracle is the caller's again.
  ~CrashLoad();

  /// Waits until so many were acknowledged, or the broker is gone. False: it was gone before.
  bool wait_for(std::uint64_t sends, std::uint64_t transactions);

 private:
  void send();
  void prepare();
  void end(CrashOracle::Number number, Decision decision, const Handle& handle);
  void count(std::uint64_t& counter);
  void broker_gone();

  const Options options_;
  CrashOracle& oracle_;
  std::mt19937_64 random_;  // the network thread's
  bool gone_ =
      false;  // guarded by mutex_; read without it on the network thread, which alone writes it
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t sends_ = 0, transactions_ = 0;
  std::unique_ptr<net::Client> client_;  // last: its callbacks use the rest until it is gone
};

}  // namespace tally::test
