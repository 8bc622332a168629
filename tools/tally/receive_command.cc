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

/// Prints all messages of an answer. Error: BAD_MESSAGE_BLOCK when a block does not match its checksum.
Result<void> print_all(const Invocation& invocation, const Broker& broker,
                       const ReceiveResponse& answer, std::string_view blocks) {
  for (const DeliveryHeader& delivery : answer.deliveries) {
    if (delivery.block_bytes > blocks.size()) {
      return Error(ErrorCode::kBadMessageBlock, "the answer's payload is too short");
    }
    TALLY_TRY(MessageBlock block, MessageBlock::parse(blocks.substr(0, delivery.block_bytes)));
    print_delivery(invocation, broker, delivery, block);
    blocks.remove_prefix(delivery.block_bytes);
  }
  return {};
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

int receive(const Invocation& invocation) {
  ReceiveRequest request{.topic = invocation.text("topic"), .group = invocation.text("group")};
  if (request.topic.empty()) throw UsageError("--topic is missing");
  if (request.group.empty()) throw UsageError("--group is missing");
  std::uint64_t left =
      invocation.options.count("max") ? invocation.options["max"].as<std::uint64_t>() : UINT64_MAX;
  const std::int64_t wait_ms = parse_duration_ms(invocation.options["wait"].as<std::string>());
  const bool acks = !invocation.options.count("no-ack");

  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  std::int64_t deadline_ms = system_clock().boot_ms() + wait_ms;
  while (left > 0) {
    std::int64_t rest_ms = std::max<std::int64_t>(0, deadline_ms - system_clock().boot_ms());
    request.wait_ms = std::min(rest_ms, limits::kReceiveWaitMsMax);
    request.messages_max = static_cast<std::uint32_t>(std::min<std::uint64_t>(left, 256));
    auto answer =
        net::ask_and_wait(broker->client(), request, {}, request.wait_ms + Broker::kTimeoutMs);
    if (!answer) return invocation.fail(answer.error());
    const auto& received = std::get<ReceiveResponse>(answer->response);
    if (received.deliveries.empty()) {
      if (rest_ms > request.wait_ms) continue;
      break;
    }
    if (auto printed = print_all(invocation, *broker, received, answer->payload); !printed) {
      return invocation.fail(printed.error());
    }
    if (acks) {
      auto done = acknowledge(*broker, request, received);
      if (!done) return invocation.fail(done.error());
    }
    left -= received.deliveries.size();
    deadline_ms = system_clock().boot_ms() + wait_ms;
  }
  return kExitOk;
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
             add("no-ack", "only look: the leases are given back at the end");
           },
           receive}};
}

}  // namespace tally::cli
