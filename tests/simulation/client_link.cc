#include "tests/simulation/client_link.h"

#include <algorithm>
#include <limits>

#include "protocol/base/checksum.h"
#include "protocol/base/message_block.h"

namespace tally::simulation {
namespace {

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kBackoffMsMin = 50;
constexpr std::int64_t kBackoffMsMax = 1'000;
constexpr std::int64_t kConnectMs = 1'000;

template <typename Response>
const Response* answer_in(const Result<net::Answer>& answer) {
  return answer ? std::get_if<Response>(&answer->response) : nullptr;
}

}  // namespace

test::Content content_of(std::string_view body) { return checksum(body); }

net::ClientOptions ClientLink::client_options(std::string client) {
  net::ClientOptions options;
  options.hello.client = std::move(client);
  options.connect_ms = kConnectMs;
  return options;
}

ClientLink::ClientLink(Process& process, std::string name, const Surroundings& surroundings,
                       net::Client::Callbacks callbacks, std::string client)
    : process_(process),
      name_(std::move(name)),
      around_(surroundings),
      random_(process.world().random().fork()),
      options_(client_options(std::move(client))),
      channel_(options_, std::move(callbacks), process.boot_us()),
      backoff_ms_(kBackoffMsMin),
      armed_us_(kNever) {}

void ClientLink::start() { attempt(); }

void ClientLink::end(bool told) {
  if (std::exchange(ended_, true)) return;
  ++epoch_;
  for (const test::CallId call : open_calls_) around_.observer.add(name(), test::Unanswered{call});
  open_calls_.clear();
  if (connection_ == 0) return;
  told ? around_.network.close(connection_, *this) : around_.network.vanish(connection_, *this);
  connection_ = 0;
}

template <typename Work>
void ClientLink::batch(Work&& work) {
  if (ended_) return;
  if (in_batch_) return work();
  in_batch_ = true;
  work();
  if (!ended_) channel_.deliver_refusals();
  while (!ended_) {
    const std::string_view bytes = channel_.start_write();
    if (!bytes.empty() && connection_ != 0) {
      around_.network.send(connection_, *this, std::string(bytes));
      channel_.written();
      continue;
    }
    if (!channel_.deliver_refusals()) break;
  }
  in_batch_ = false;
  if (!ended_) arm_tick();
}

// --- connecting ---

void ClientLink::attempt() {
  const std::uint64_t epoch = ++epoch_;
  unread_.clear();
  connection_ = around_.network.connect(*this, around_.broker);
  process_.after(kConnectMs * kMs, [this, epoch] {
    if (epoch != epoch_ || channel_.ready() || ended_) return;
    batch([&] { lost(Error(ErrorCode::kUnreachable, "no answer to Hello in time")); });
  });
}

void ClientLink::connected(Network::Connection connection) {
  process_.run([this, connection] {
    if (connection != connection_) return;
    batch([&] { channel_.connected(process_.boot_us()); });
  });
}

void ClientLink::received(Network::Connection connection, std::string_view bytes) {
  process_.run([this, connection, bytes = std::string(bytes)] {
    if (connection != connection_ || ended_) return;
    batch([&] {
      unread_.append(bytes);
      const std::string now = std::exchange(unread_, {});
      const bool was_ready = channel_.ready();
      const auto received = channel_.received(now, process_.boot_us());
      if (ended_) return;
      if (!received) return lost(received.error());
      if (!was_ready && channel_.ready()) backoff_ms_ = kBackoffMsMin;
      unread_ = now.substr(received->consumed);
    });
  });
}

void ClientLink::closed(Network::Connection connection) {
  process_.run([this, connection] {
    if (connection != connection_ || ended_) return;
    const bool reached = channel_.ready();
    connection_ = 0;
    batch([&] {
      lost(Error(reached ? ErrorCode::kDisconnected : ErrorCode::kUnreachable, "closed"));
    });
  });
}

void ClientLink::lost(const Error& why) {
  const std::uint64_t epoch = ++epoch_;
  if (connection_ != 0) around_.network.close(std::exchange(connection_, 0), *this);
  channel_.disconnected(why);
  if (ended_) return;
  const std::int64_t pause_ms = backoff_ms_ / 2 + random_.between(0, backoff_ms_ / 2);
  backoff_ms_ = std::min(backoff_ms_ * 2, kBackoffMsMax);
  process_.after(pause_ms * kMs, [this, epoch] {
    if (epoch == epoch_ && !ended_) attempt();
  });
}

void ClientLink::arm_tick() {
  const std::int64_t next_us = channel_.next_tick_us();
  if (next_us >= armed_us_) return;
  armed_us_ = next_us;
  process_.after(next_us - process_.boot_us(), [this] {
    if (ended_) return;
    armed_us_ = kNever;
    batch([this] {
      if (const auto alive = channel_.tick(process_.boot_us()); !alive && !ended_) {
        lost(alive.error());
      }
    });
  });
}

// --- requests, and what the history says of them ---

void ClientLink::ask(const Request& request, std::string_view block, std::int64_t timeout_ms,
                     Answered answered) {
  if (ended_) return;
  if (!around_.notes_sends && std::holds_alternative<SendRequest>(request)) {
    return ask_channel(request, block, timeout_ms, std::move(answered));
  }
  const test::CallId call = around_.observer.next_call();
  // Of a settle each item is a call of its own.
  const auto* settle = std::get_if<SettleRequest>(&request);
  const std::size_t calls = settle != nullptr ? settle->items.size() : 1;
  for (std::size_t i = 1; i < calls; ++i) around_.observer.next_call();
  for (std::size_t i = 0; i < calls; ++i) open_calls_.insert(call + i);
  note_call(call, request, block);
  ask_channel(
      request, block, timeout_ms,
      [this, call, calls, request, answered = std::move(answered)](Result<net::Answer>&& answer) {
        for (std::size_t i = 0; i < calls; ++i) open_calls_.erase(call + i);
        note_answer(call, request, answer);
        answered(std::move(answer));
      });
}

void ClientLink::ask_channel(const Request& request, std::string_view block,
                             std::int64_t timeout_ms, Answered answered) {
  batch([&] {
    channel_.ask(
        request, block, std::max<std::int64_t>(timeout_ms, 1),
        [this, answered = std::move(answered)](Result<net::Answer>&& answer) {
          if (!ended_) answered(std::move(answer));
        },
        process_.boot_us());
  });
}

void ClientLink::note_call(test::CallId call, const Request& request, std::string_view block) {
  const auto add = [&](test::EventBody&& what) { around_.observer.add(name(), std::move(what)); };
  const auto body = [&] { return content_of(MessageBlock::parse(block).value().body()); };
  if (const auto* send = std::get_if<SendRequest>(&request)) {
    add(test::SendInvoked{.call = call,
                          .topic = send->topic,
                          .content = body(),
                          .producer = send->producer,
                          .sequence = send->sequence});
  } else if (const auto* half = std::get_if<PrepareRequest>(&request)) {
    add(test::PrepareInvoked{.call = call,
                             .transaction = around_.observer.name_of_half(
                                 half->transaction, MessageBlock::parse(block).value().checksum()),
                             .message = half->message,
                             .topic = half->topic,
                             .content = body()});
  } else if (const auto* end = std::get_if<EndRequest>(&request)) {
    add(test::EndInvoked{.call = call,
                         .transaction = around_.observer.name_of(end->transaction, end->handle),
                         .decision = end->decision,
                         .by = end->by_operator ? Decider::kOperator : Decider::kProducer,
                         .messages = end->messages});
  } else if (const auto* check = std::get_if<AnswerCheckRequest>(&request)) {
    const auto* asked = around_.observer.find_challenge(check->challenge);
    add(test::EndInvoked{
        .call = call,
        .transaction = asked != nullptr ? asked->transaction : check->transaction,
        .decision = check->decision,
        .by = Decider::kCheck,
        .messages = check->messages,
        .challenge = around_.observer.was_asked(name(), check->challenge) ? check->challenge : 0});
  } else if (const auto* settle = std::get_if<SettleRequest>(&request)) {
    for (const SettleItem& item : settle->items) {
      add(test::SettleInvoked{.call = call++,
                              .group = settle->group,
                              .topic = settle->topic,
                              .queue = item.queue.value,
                              .offset = item.offset.value,
                              .attempt = item.attempt,
                              .action = item.action});
    }
  } else {
    add(test::OtherInvoked{.call = call, .operation = std::string(tally::name(kind_of(request)))});
  }
}

void ClientLink::note_answer(test::CallId call, const Request& request,
                             const Result<net::Answer>& answer) {
  const auto add = [&](test::EventBody&& what) { around_.observer.add(name(), std::move(what)); };
  const auto* settle = std::get_if<SettleRequest>(&request);
  const auto fail = [&](test::CallId failed, const Error& error) {
    if (outcome(error.code) == Outcome::kUnknown) return add(test::Unanswered{failed});
    add(test::Failed{failed, error.code, error.winner.value_or(Winner{})});
  };
  if (!answer) {
    const std::size_t calls = settle != nullptr ? settle->items.size() : 1;
    for (std::size_t i = 0; i < calls; ++i) fail(call + i, answer.error());
    return;
  }
  if (const auto* sent = answer_in<SendResponse>(answer)) {
    add(test::SendOk{call, sent->queue.value, sent->offset.value, sent->lsn.value});
  } else if (const auto* stored = answer_in<PrepareResponse>(answer)) {
    add(test::PrepareOk{call, stored->handle.time_ms, stored->first_check_at_ms});
  } else if (const auto* ended = answer_in<EndResponse>(answer)) {
    add(test::EndOk{call, ended->result, ended->repeated});
  } else if (const auto* checked = answer_in<AnswerCheckResponse>(answer)) {
    add(test::EndOk{call, checked->result});
    const std::uint64_t challenge = std::get<AnswerCheckRequest>(request).challenge;
    if (!around_.observer.was_asked(name(), challenge)) {
      around_.observer.violate(test::Rule::kCheck,
                               name() + " was not asked, and its answer was accepted");
    }
  } else if (const auto* settled = answer_in<SettleResponse>(answer)) {
    for (std::size_t i = 0; i < settled->results.size(); ++i) {
      if (settled->results[i] == ErrorCode::kOk) {
        add(test::SettleOk{call + i, settled->applied.value});
      } else {
        fail(call + i, Error(settled->results[i], {}));
      }
    }
  } else {
    if (const auto* received = answer_in<ReceiveResponse>(answer)) {
      note_delivery(std::get<ReceiveRequest>(request), *received, answer->payload);
    }
    add(test::OtherOk{call});
  }
}

void ClientLink::note_delivery(const ReceiveRequest& request, const ReceiveResponse& response,
                               std::string_view payload) {
  for (const DeliveryHeader& header : response.deliveries) {
    const auto block = MessageBlock::parse(payload.substr(0, header.block_bytes));
    payload.remove_prefix(header.block_bytes);
    if (!block) {
      around_.observer.violate(test::Rule::kPhantom, "a delivered block is damaged");
      continue;
    }
    around_.observer.add(name(), test::Delivered{.group = request.group,
                                                 .topic = request.topic,
                                                 .queue = header.queue.value,
                                                 .offset = header.offset.value,
                                                 .attempt = header.attempt,
                                                 .applied = response.applied.value,
                                                 .content = content_of(block->body()),
                                                 .message_lsn = header.lsn.value});
  }
}

}  // namespace tally::simulation
