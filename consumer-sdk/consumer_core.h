#pragma once
// Every decision of one subscription: what to ask the broker, what to hand to handlers, when to extend and to settle.
//
// Operation: events go in (connected, answers, results of handlers, time), actions come out through take_actions(). Each
// event carries the time, monotonic milliseconds; next_tick_ms() says when tick() has something to do.
// Concurrency: one thread; no I/O, no clock.
// Limits: at most parallelism + prefetch deliveries are with the handlers, kReceivesInFlight receives and one settle fly, and
// no more is received while kWaitingBytesMax bytes wait or kSettlesWaitingMax settlements have not been answered.

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <tally/logging.hpp>
#include <unordered_map>
#include <vector>

#include "protocol/base/limits.h"
#include "protocol/base/message_block.h"
#include "protocol/base/requests.h"

namespace tally {

struct ConsumerCoreOptions {
  std::string topic{};
  std::string group{};
  std::uint32_t parallelism = 1;
  std::uint32_t prefetch = 0;
  std::int64_t lease_ms = 0;  ///< 0: the broker's default
};

/// A place in the topic: names a delivery within its log.
struct Position {
  QueueId queue{};
  Offset offset{};
  auto operator<=>(const Position&) const = default;
};
struct PositionHash {
  std::size_t operator()(const Position& position) const noexcept {
    return std::hash<std::uint64_t>{}((std::uint64_t{position.queue.value} << 48) ^
                                      position.offset.value);
  }
};

/// Names one run of a handler: a position may be delivered anew while an old handler still runs.
struct RunKey {
  Position position{};
  std::uint64_t run = 0;
  bool operator==(const RunKey&) const = default;
};

/// A message for a handler.
struct HandlerCall {
  RunKey key{};
  MessageUid id{};
  std::uint32_t attempt = 1;
  MessageBlock block{};                        ///< views into *bytes
  std::shared_ptr<const std::string> bytes{};  ///< shared by all deliveries of one answer
};

/// How a handler ended.
struct HandlerResult {
  SettleAction action{};
  std::int64_t delay_ms = -1;  ///< as in SettleItem
};
struct FinishedRun {
  RunKey key{};
  HandlerResult result{};
};

class ConsumerCore {
 public:
  static constexpr std::size_t kReceivesInFlight = 2;
  static constexpr std::size_t kWaitingBytesMax = 32u << 20;
  static constexpr std::size_t kSettlesWaitingMax = 2 * limits::kSettleItemsMax;
  static constexpr std::int64_t kReceiveWaitMs = 20'000;
  static constexpr std::int64_t kAnswerMs =
      10'000;  // time for an answer, beyond the wait it asks for
  static constexpr std::int64_t kBackoffMs = 100;  // after an error; doubled up to kBackoffMsMax
  static constexpr std::int64_t kBackoffMsMax = 5'000;
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  struct Ask {
    std::uint64_t id = 0;
    Request request{};
    std::int64_t timeout_ms = 0;
  };
  struct LogLine {
    LogLevel level{};
    std::string text{};
  };
  struct Actions {
    std::vector<Ask> asks{};
    std::vector<HandlerCall> calls{};
    std::vector<LogLine> log{};
    void clear() { asks.clear(), calls.clear(), log.clear(); }
  };

  explicit ConsumerCore(ConsumerCoreOptions options);

  void connected(std::int64_t now_ms, LogId log);
  /// `not_begun`: calls that no handler had begun; they were taken back from the handlers and are forgotten: the broker gave
  /// their leases back. Running handlers go on, their results are tried on the next connection.
  void disconnected(const std::vector<RunKey>& not_begun);
  /// The end of an ask. `payload` is what stands beside a ReceiveResponse.
  void answered(std::int64_t now_ms, std::uint64_t ask, Result<Response>&& result,
                std::string_view payload);
  void finished(std::int64_t now_ms, std::span<const FinishedRun> runs);
  void tick(std::int64_t now_ms);
  std::int64_t next_tick_ms() const;

  /// No more receives. `not_begun` are forgotten, and so is what still arrives: the end of the connection, which follows, gives
  /// their leases back without counting an attempt.
  void stop(std::int64_t now_ms, const std::vector<RunKey>& not_begun);
  /// Stopping, no handler runs, and every settlement is answered.
  bool drained() const;

  /// Swaps the actions collected so far into `out`, which is cleared first.
  void take_actions(Actions& out);

 private:
  enum class Phase : std::uint8_t { kRunning, kStopping };
  enum class State : std::uint8_t {
    kHandled,   // with the handlers
    kSettling,  // its settlement waits or flies
  };
  struct Held {
    std::uint64_t run = 0;
    std::uint32_t attempt = 0;
    std::uint32_t bytes = 0;
    State state{};
    bool leased = false;  // by the present connection
    HandlerResult result{};
    std::int64_t extend_at_ms = 0;
  };
  struct Receive {
    std::uint64_t ask = 0;
    std::uint32_t messages_max = 0;
  };

  void take_deliveries(std::int64_t now_ms, const ReceiveResponse& response,
                       std::string_view payload);
  void take_delivery(std::int64_t now_ms, const DeliveryHeader& header,
                     const Result<MessageBlock>& block,
                     const std::shared_ptr<const std::string>& bytes);
  /// True when a delivery held before takes this grant over, so that no handler is called.
  bool adopt(std::int64_t now_ms, Held& held, const DeliveryHeader& header);
  void settle(const Position& position, Held& held, const HandlerResult& result);
  void settle_answered(std::int64_t now_ms, const Result<Response>& result);
  void settle_ended(const SettleItem& item);
  void receive_failed(std::int64_t now_ms, const Error& error);
  void extend_answered(const std::vector<LeaseItem>& items, const Result<Response>& result);
  /// The held delivery of this run, if it is still held; then its handler counts no more.
  Held* end_run(const RunKey& key);
  void forget(const std::vector<RunKey>& not_begun);
  void drop_all();

  void work(std::int64_t now_ms);
  void send_settles(std::int64_t now_ms);
  void send_receives(std::int64_t now_ms);
  void extend_leases(std::int64_t now_ms);
  void hold_lease(std::int64_t now_ms, Held& held);
  std::uint64_t ask(Request request, std::int64_t timeout_ms);
  void log(LogLevel level, std::string text);

  const ConsumerCoreOptions options_;
  Phase phase_ = Phase::kRunning;
  bool connected_ = false;
  LogId log_id_{};
  std::int64_t lease_ms_ = 0;  // as granted last

  std::unordered_map<Position, Held, PositionHash> held_;
  std::uint64_t runs_ = 0;
  std::uint32_t out_ = 0;      // handler calls not finished
  std::size_t out_bytes_ = 0;  // of their blocks

  std::uint64_t asks_ = 0;
  std::vector<Receive> receives_;
  std::int64_t receive_after_ms_ = 0;
  std::int64_t receive_backoff_ms_ = 0;
  ErrorCode receive_error_ = ErrorCode::kOk;  // reported last

  std::vector<SettleItem> settles_;   // waiting
  std::vector<SettleItem> settling_;  // flying
  std::uint64_t settle_ask_ = 0;      // 0: none flies
  std::int64_t settle_after_ms_ = 0;
  std::int64_t settle_backoff_ms_ = 0;

  struct Extension {
    std::uint64_t ask = 0;
    std::vector<LeaseItem> items{};
  };
  std::vector<Extension> extensions_;
  std::int64_t extend_at_ms_ = kNever;

  Actions actions_;
};

}  // namespace tally
