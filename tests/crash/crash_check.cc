#include "tests/crash/crash_check.h"

#include "protocol/base/message_block.h"
#include "protocol/net/client.h"
#include "tests/crash/crash_load.h"

namespace tally::test {
namespace {

constexpr std::int64_t kTimeoutMs = 30'000;
constexpr std::int64_t kQuietMs = 100;
constexpr int kQuietReadsMax = 300;

Result<net::OwnedAnswer> ask(net::Client& client, Request request) {
  return net::ask_and_wait(client, std::move(request), {}, kTimeoutMs);
}

template <typename Expected>
Expected answer(net::Client& client, Request request) {
  return std::get<Expected>(ask(client, std::move(request)).value().response);
}

bool is_expired(const Error& error) {
  return error.code == ErrorCode::kExpired || error.code == ErrorCode::kNotFoundOrExpired;
}

/// The same decision is repeated, the opposite one is a conflict.
void check_decided(net::Client& client, const CrashOracle::Transaction& transaction,
                   CrashOracle& oracle) {
  EndRequest again{.transaction = transaction.id,
                   .group = CrashLoad::kProducerGroup,
                   .decision = transaction.decision,
                   .messages = 1};
  const auto same = ask(client, again);
  if (transaction.old && !same && is_expired(same.error())) return;
  if (!same || !std::get<EndResponse>(same->response).repeated) {
    oracle.lost("the decision of " + transaction.id + " is not known");
  }
  again.decision =
      transaction.decision == Decision::kCommit ? Decision::kRollback : Decision::kCommit;
  const auto opposite = ask(client, again);
  if (opposite || opposite.error().code != ErrorCode::kConflict) {
    oracle.invented("the decision of " + transaction.id + " can be changed");
  }
}

/// It is pending, or decided the way that was asked for.
void check_undecided(net::Client& client, const CrashOracle::Transaction& transaction,
                     CrashOracle& oracle) {
  const auto shown = ask(client, ShowTransactionRequest{.transaction = transaction.id});
  if (transaction.old && transaction.end_asked && !shown && is_expired(shown.error())) return;
  if (!shown) return oracle.lost(transaction.id + ": " + to_string(shown.error()));
  const auto state = std::get<ShowTransactionResponse>(shown->response).transaction.state;
  const auto decided = transaction.decision == Decision::kCommit ? TransactionState::kCommitted
                                                                 : TransactionState::kRolledBack;
  const bool as_asked = transaction.end_asked && state == decided;
  if (state == TransactionState::kPending || as_asked) return;
  oracle.invented(transaction.id + " is " + std::string(name(state)));
}

std::uint64_t backlog(net::Client& client, const std::string& group) {
  std::uint64_t unsettled = 0;
  const auto listed = answer<ListGroupsResponse>(client, ListGroupsRequest{.name = group});
  for (const GroupQueueInfo& queue : listed.groups.at(0).queues) unsettled += queue.unsettled;
  return unsettled;
}

/// Reads and acknowledges until the group has nothing more to read.
template <typename Visit>
void drain(net::Client& client, const std::string& group, const Visit& visit) {
  for (int quiet = 0; quiet < kQuietReadsMax;) {
    const ReceiveRequest request{
        .topic = CrashLoad::kTopic, .group = group, .messages_max = 1'000, .wait_ms = kQuietMs};
    const auto answered = ask(client, request).value();
    const auto& received = std::get<ReceiveResponse>(answered.response);
    if (received.deliveries.empty()) {
      if (backlog(client, group) == 0) return;
      ++quiet;
    }
    std::string_view blocks = answered.payload;
    SettleRequest settle{.topic = CrashLoad::kTopic, .group = group};
    for (const DeliveryHeader& delivery : received.deliveries) {
      const auto block = MessageBlock::parse(blocks.substr(0, delivery.block_bytes)).value();
      blocks.remove_prefix(delivery.block_bytes);
      visit(block.body(), delivery);
      settle.items.push_back({.queue = delivery.queue,
                              .offset = delivery.offset,
                              .attempt = delivery.attempt,
                              .action = SettleAction::kAck});
    }
    answer<SettleResponse>(client, settle);
  }
}

}  // namespace

void check_promises(const std::string& broker, CrashOracle& oracle) {
  net::ClientOptions options{.broker = broker};
  options.hello.client = CrashLoad::kClient;
  const auto client = net::Client::start(std::move(options), {}).value();
  const auto created =
      answer<CreateTopicResponse>(*client, CreateTopicRequest{.topic = CrashLoad::kTopic});
  for (const QueueInfo& queue : created.topic.queues) oracle.floor(queue.queue, queue.first);
  for (const auto& transaction : oracle.transactions()) {
    if (transaction.end_acknowledged) {
      check_decided(*client, transaction, oracle);
    } else {
      check_undecided(*client, transaction, oracle);
    }
  }
  drain(*client, CrashLoad::kConsumerGroup,
        [&](std::string_view body, const auto& delivery) { oracle.consumed(body, delivery); });
  drain(*client, "audit",
        [&](std::string_view body, const auto& delivery) { oracle.audited(body, delivery); });
}

}  // namespace tally::test
