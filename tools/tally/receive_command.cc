#include <algorithm>
#include <cinttypes>

#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/base/message_block.h"
#include "tools/tally/command.h"

namespace tally::cli {
namespace {

void print_delivery(const Invocation& invocation, const Broker& broker,
                    const DeliveryHeader& delivery, const MessageBlock& block) {
  std::string id = broker.uid(delivery.lsn).to_string();
  if (!invocation.json()) {
    std::printf("%s  queue %u  offset %" PRIu64 "  attempt %u  key %.*s\n  %.*s\n", id.c_str(),
                delivery.queue.value, delivery.offset.value, delivery.attempt,
                static_cast<int>(block.key().size()), block.key().data(),
                static_cast<int>(block.body().size()), block.body().data());
    std::fflush(stdout);
    return;
  }
  Json line = {{"id", std::move(id)},
               {"queue", delivery.queue.value},
               {"offset", delivery.offset.value},
               {"attempt", delivery.attempt}};
  set_bytes(line, "key", block.key());
  if (!block.tag().empty()) set_bytes(line, "tag", block.tag());
  set_bytes(line, "body", block.body());
  print_line(line);
}

struct Received {
  DeliveryHeader delivery;
  std::string block;
};

/// Adds the messages of an answer. Error: MALFORMED_ANSWER when its blocks are missing.
Result<void> add_all(const ReceiveResponse& answer, std::string_view blocks,
                     std::vector<Received>& to) {
  for (const DeliveryHeader& delivery : answer.deliveries) {
    if (delivery.block_bytes > blocks.size()) {
      return Error(ErrorCode::kMalformedAnswer, "its payload is too short");
    }
    to.push_back({delivery, std::string(blocks.substr(0, delivery.block_bytes))});
    blocks.remove_prefix(delivery.block_bytes);
  }
  return {};
}

/// Prints and forgets them. Error: BAD_MESSAGE_BLOCK when a block does not match its checksum.
Result<void> print_all(const Invocation& invocation, const Broker& broker,
                       std::vector<Received>& messages) {
  for (const Received& message : messages) {
    TALLY_TRY(MessageBlock block, MessageBlock::parse(message.block));
    print_delivery(invocation, broker, message.delivery, block);
  }
  messages.clear();
  return {};
}

/// Messages that are only looked at are held back until there is nothing more, or this much, and
/// printed by queue and offset: two looks at the same state shall print the same lines, whichever
/// queue the broker grants first.
constexpr std::size_t kLookBytesMax = 64u << 20;

void put_in_order(std::vector<Received>& messages) {
  std::sort(messages.begin(), messages.end(), [](const Received& a, const Received& b) {
    return std::pair(a.delivery.queue, a.delivery.offset) <
           std::pair(b.delivery.queue, b.delivery.offset);
  });
}

Result<void> acknowledge(Broker& broker, const ReceiveRequest& from,
                         const ReceiveResponse& answer) {
  SettleRequest settle{.topic = from.topic, .group = from.group};
  for (const DeliveryHeader& delivery : answer.deliveries) {
    settle.items.push_back({.queue = delivery.queue,
                            .offset = delivery.offset,
                            .attempt = delivery.attempt,
                            .action = SettleAction::kAck});
  }
  TALLY_TRY(SettleResponse settled, broker.ask<SettleResponse>(settle));
  for (ErrorCode result : settled.results) {
    if (result != ErrorCode::kOk) return Error(result, "a printed message was not acknowledged");
  }
  return {};
}

/// Receives, prints and acknowledges until `left` messages came, or none for `wait_ms`.
Result<void> receive_all(const Invocation& invocation, Broker& broker, ReceiveRequest request,
                         std::uint64_t left, std::int64_t wait_ms) {
  const bool acks = !invocation.options.count("no-ack");
  std::vector<Received> messages;
  std::size_t bytes = 0;
  std::int64_t deadline_ms = system_clock().boot_ms() + wait_ms;
  while (left > 0) {
    const std::int64_t rest_ms = std::max<std::int64_t>(0, deadline_ms - system_clock().boot_ms());
    request.wait_ms = messages.empty() ? std::min(rest_ms, limits::kReceiveWaitMsMax) : 0;
    request.messages_max = static_cast<std::uint32_t>(std::min<std::uint64_t>(left, 256));
    TALLY_TRY(
        const net::OwnedAnswer answer,
        net::ask_and_wait(broker.client(), request, {}, request.wait_ms + Broker::kTimeoutMs));
    const auto& received = std::get<ReceiveResponse>(answer.response);
    if (received.deliveries.empty() && messages.empty()) {
      if (rest_ms > request.wait_ms) continue;
      break;
    }
    TALLY_TRY_VOID(add_all(received, answer.payload, messages));
    bytes += answer.payload.size();
    left -= received.deliveries.size();
    if (acks) {
      TALLY_TRY_VOID(print_all(invocation, broker, messages));
      TALLY_TRY_VOID(acknowledge(broker, request, received));
    } else if (received.deliveries.empty() || left == 0 || bytes > kLookBytesMax) {
      put_in_order(messages);
      TALLY_TRY_VOID(print_all(invocation, broker, messages));
      bytes = 0;
    }
    deadline_ms = system_clock().boot_ms() + wait_ms;
  }
  return {};
}

int receive(const Invocation& invocation) {
  ReceiveRequest request{.topic = invocation.text("topic"), .group = invocation.text("group")};
  if (request.topic.empty()) throw UsageError("--topic is missing");
  if (request.group.empty()) throw UsageError("--group is missing");
  const std::uint64_t messages_max =
      invocation.options.count("max") ? invocation.options["max"].as<std::uint64_t>() : UINT64_MAX;
  const std::int64_t wait_ms = parse_duration_ms(invocation.options["wait"].as<std::string>());
  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  auto done = receive_all(invocation, *broker, std::move(request), messages_max, wait_ms);
  return done ? static_cast<int>(kExitOk) : invocation.fail(done.error());
}

}  // namespace

std::vector<Command> receive_commands() {
  return {{"receive", "", "Receives messages of a topic for a group, prints and acknowledges them.",
           "tally receive --topic orders --group points\n"
           "tally receive --topic orders --group points --max 10 --no-ack -o json",
           [](cxxopts::OptionAdder& add) {
             add("topic", "what to receive (required)", cxxopts::value<std::string>(), "NAME");
             add("group", "consumer group, made at its first receive (required)",
                 cxxopts::value<std::string>(), "NAME");
             add("max", "stop after so many messages", cxxopts::value<std::uint64_t>(), "N");
             add("wait", "stop when so long no message came",
                 cxxopts::value<std::string>()->default_value("2s"), "TIME");
             add("no-ack",
                 "only look, in the order of the queues; the leases are given back at the end");
           },
           receive}};
}

}  // namespace tally::cli
