#pragma once
// What a client knows it was promised, kept outside of the broker, and the comparison with what consumers see.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tally/error.hpp>
#include <tally/ids.hpp>
#include <unordered_map>
#include <vector>

namespace tally::test {

/// Bodies begin with their own number, so a delivered body tells which message it is.
class CrashOracle {
 public:
  using Number = std::uint64_t;

  Number begin_send(std::size_t body_bytes);
  void send_acknowledged(Number number, QueueId queue, Offset offset);

  Number begin_transaction(std::size_t body_bytes, Decision decision);
  void prepare_acknowledged(Number number) { messages_.at(number).prepared = true; }
  void end_asked(Number number) { messages_.at(number).end_asked = true; }
  void end_acknowledged(Number number) { messages_.at(number).end_acknowledged = true; }

  const std::string& body(Number number) const { return messages_.at(number).body; }
  static std::string transaction_id(Number number) { return "t" + std::to_string(number); }

  /// A consumer of the final drain was given this.
  void delivered(std::string_view body, QueueId queue, Offset offset);

  struct Verdict {
    std::uint64_t acknowledged = 0;
    std::uint64_t lost = 0;
    std::uint64_t invented =
        0;  ///< never sent, rolled back, never ended, delivered twice, or moved to another offset
  };
  Verdict compare() const;

  struct Transaction {
    std::string id{};
    Decision decision{};
  };
  /// Transactions whose END was acknowledged: ending them again must say the same.
  std::vector<Transaction> decided() const;

 private:
  struct Sent {
    std::string body{};
    bool transactional = false;
    bool send_acknowledged = false;
    QueueId queue{};
    Offset offset{};
    Decision decision{};
    bool prepared = false, end_asked = false, end_acknowledged = false;
    std::uint64_t deliveries = 0;
    bool moved = false;
  };
  Number add(std::size_t body_bytes, Sent sent);

  std::unordered_map<Number, Sent> messages_{};
  Number next_ = 1;
  std::uint64_t strangers_ = 0;
};

}  // namespace tally::test
