#pragma once
// Plays the broker and the handlers of one ConsumerCore, step by step.

#include <algorithm>
#include <catch2/catch.hpp>
#include <deque>
#include <string>
#include <vector>

#include "consumer-sdk/consumer_core.h"

namespace tally::testing {

inline const LogId kLog = *LogId::from_hex("00112233445566778899aabbccddeeff");
inline const LogId kOtherLog = *LogId::from_hex("ffeeddccbbaa99887766554433221100");

class ConsumerScript {
 public:
  explicit ConsumerScript(std::uint32_t parallelism = 1, std::uint32_t prefetch = 0,
                          std::int64_t lease_ms = 0)
      : core_({"orders", "points", parallelism, prefetch, lease_ms}) {}

  void connect(LogId log_id = kLog) { core_.connected(now, log_id), take(); }
  void disconnect() {
    std::vector<RunKey> not_begun;
    for (const HandlerCall& call : calls) not_begun.push_back(call.key);
    calls.clear();
    core_.disconnected(not_begun);
    for (auto asks : {&receives, &settles, &extends}) {
      for (const ConsumerCore::Ask& ask : *asks) {
        core_.answered(now, ask.id, Error(ErrorCode::kDisconnected, "cut"), {});
      }
      asks->clear();
    }
    take();
  }
  void stop() {
    std::vector<RunKey> not_begun;
    for (const HandlerCall& call : calls) not_begun.push_back(call.key);
    calls.clear();
    core_.stop(now, not_begun), take();
  }
  void advance(std::int64_t ms) { now += ms, core_.tick(now), take(); }
  /// Ticks as often as the core wants, up to `ms` from now.
  void run_for(std::int64_t ms) {
    const std::int64_t end = now + ms;
    while (core_.next_tick_ms() <= end)
      advance(std::max<std::int64_t>(core_.next_tick_ms() - now, 0));
    advance(end - now);
  }

  static std::string block(std::uint64_t offset) {
    Message message;
    message.key = std::to_string(offset);
    message.body = "body " + std::to_string(offset);
    std::string bytes;
    append_message_block(message, 0, bytes).value();
    return bytes;
  }
  /// Answers the oldest receive with these offsets of queue 0.
  void deliver(const std::vector<std::uint64_t>& offsets, std::uint32_t attempt = 1,
               std::int64_t lease_ms = 30'000, bool damaged = false) {
    REQUIRE_FALSE(receives.empty());
    ReceiveResponse response{EntryIndex{1}, lease_ms, {}};
    std::string payload;
    for (const std::uint64_t offset : offsets) {
      std::string bytes = block(offset);
      if (damaged) bytes[bytes.size() - 12] ^= 1;
      response.deliveries.push_back({Lsn{100 + offset}, QueueId{0}, Offset{offset}, attempt,
                                     static_cast<std::uint32_t>(bytes.size())});
      payload += bytes;
    }
    answer(receives, Response(std::move(response)), payload);
  }
  void fail(std::deque<ConsumerCore::Ask>& asks, ErrorCode code) {
    answer(asks, Error(code, "no"));
  }
  /// Answers the oldest settle, each item with `code`.
  void settled(ErrorCode code = ErrorCode::kOk) {
    REQUIRE_FALSE(settles.empty());
    const std::size_t items = settle_items().size();
    answer(settles, Response(SettleResponse{EntryIndex{2}, {items, code}}));
  }
  void extended(ErrorCode code = ErrorCode::kOk) {
    REQUIRE_FALSE(extends.empty());
    const std::size_t items = std::get<ExtendLeaseRequest>(extends.front().request).items.size();
    answer(extends, Response(ExtendLeaseResponse{{items, code}}));
  }

  /// A handler takes the oldest call.
  HandlerCall begin() {
    REQUIRE_FALSE(calls.empty());
    HandlerCall call = calls.front();
    calls.pop_front();
    return call;
  }
  void finish(const HandlerCall& call, SettleAction action = SettleAction::kAck,
              std::int64_t delay_ms = -1) {
    const FinishedRun run{call.key, {action, delay_ms}};
    core_.finished(now, {&run, 1}), take();
  }

  const std::vector<SettleItem>& settle_items() {
    REQUIRE_FALSE(settles.empty());
    return std::get<SettleRequest>(settles.front().request).items;
  }
  std::uint32_t credit(std::size_t which = 0) {
    REQUIRE(receives.size() > which);
    return std::get<ReceiveRequest>(receives[which].request).messages_max;
  }
  bool logged(std::string_view text) const {
    return std::ranges::any_of(
        log, [&](const auto& line) { return line.text.find(text) != std::string::npos; });
  }
  bool drained() const { return core_.drained(); }
  std::int64_t next_tick() const { return core_.next_tick_ms(); }

  std::int64_t now = 1'000;
  std::deque<ConsumerCore::Ask> receives, settles, extends;
  std::deque<HandlerCall> calls;
  std::vector<ConsumerCore::LogLine> log;

 private:
  void answer(std::deque<ConsumerCore::Ask>& asks, Result<Response> result,
              std::string_view payload = {}) {
    REQUIRE_FALSE(asks.empty());
    const std::uint64_t id = asks.front().id;
    asks.pop_front();
    core_.answered(now, id, std::move(result), payload), take();
  }
  void take() {
    ConsumerCore::Actions actions;
    core_.take_actions(actions);
    for (ConsumerCore::Ask& ask : actions.asks) {
      CHECK(ask.timeout_ms > 0);
      const bool receive = std::holds_alternative<ReceiveRequest>(ask.request);
      const bool settle = std::holds_alternative<SettleRequest>(ask.request);
      (receive ? receives : settle ? settles : extends).push_back(std::move(ask));
    }
    for (HandlerCall& call : actions.calls) calls.push_back(std::move(call));
    for (ConsumerCore::LogLine& line : actions.log) log.push_back(std::move(line));
  }
  ConsumerCore core_;
};

}  // namespace tally::testing
