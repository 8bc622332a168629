#pragma once
// The load during which a broker crashes: pipelined sends, transactions and settles of one client,
// noted in the oracle. What a busy broker refuses is sent again as another message; what an earlier
// load left open is ended first.

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "protocol/net/client.h"
#include "tests/crash/crash_oracle.h"

namespace tally::test {

class CrashLoad {
 public:
  static constexpr const char* kTopic = "crash";
  static constexpr const char* kClient = "crash-load";
  static constexpr const char* kProducerGroup = "crash";
  static constexpr const char* kConsumerGroup = "load";

  /// Begins at once, the topic's creation first; goes on until the broker is gone.
  CrashLoad(const std::string& broker, std::uint64_t seed, CrashOracle& oracle);
  /// Ends the client.
  ~CrashLoad();

  /// Waits until so many more were acknowledged, or the broker is gone. False: it is gone. Throws
  /// Exception when it refused a request.
  bool wait_for(std::uint64_t sends, std::uint64_t transactions);
  /// True when the broker is gone before so much time has passed. Throws as wait_for().
  bool gone_within(int timeout_ms);

 private:
  void begin();
  void send();
  void next_transaction();
  void prepare();
  void end(const CrashOracle::Transaction& transaction);
  void receive();
  void settle(const ReceiveResponse& received, std::string_view blocks);
  /// True: the broker is too busy for the message.
  bool refused(const Result<net::Answer>& answer, CrashOracle::Number number);
  void count(std::uint64_t& counter);
  void failed(const Error& error);

  CrashOracle& oracle_;
  std::mt19937_64 random_;                        // the network thread's
  std::vector<CrashOracle::Transaction> open_{};  // the same: of earlier loads, to be ended now
  std::mutex mutex_{};
  std::condition_variable changed_{};
  bool gone_ = false;  // written by the network thread alone, which reads it without the mutex
  std::optional<Error> refused_{};
  std::uint64_t sends_ = 0, transactions_ = 0;
  std::unique_ptr<net::Client> client_;  // last: its callbacks use the rest until it is gone
};

}  // namespace tally::test
