#include "tests/core/test_broker.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <sstream>

#include "broker/core/base_rows.h"

namespace tally::broker {

TestBroker::TestBroker(CoreOptions core_options)
    : options(core_options), index_(store::make_memory_index()) {
  log_id_.bytes[0] = 7;
  start();
}

TestBroker::TestBroker(const CoreOptions& core_options, std::unique_ptr<store::IndexStore> index)
    : options(core_options), index_(std::move(index)), rows_alone_(true) {
  log_id_.bytes[0] = 7;
  start();
}

void TestBroker::start() {
  serving_ = false;
  core_ = std::make_unique<BrokerCore>(options, ShardId(0), log_id_);
  replay(*core_, *index_);
  if (!rows_alone_) REQUIRE(core_->complete());
  std::vector<KnownBase> known;
  for (const auto& [lsn, base] : bases_) known.push_back(base.known);
  core_->bases(std::move(known));
  core_->set_space(first_space);
  store::ReplayFrom end = index_->position().value().value_or(store::ReplayFrom{});
  if (!log_.empty()) {
    const store::EntryHeader& newest = log_.back().header;
    end = {.applied = newest.index, .next = newest.end(), .time_ms = newest.time_ms};
  }
  core_->serve(now_, end.applied, end.next, end.time_ms);
  serving_ = true;
}

void TestBroker::restart(Start how) {
  taken_.clear();
  loads_.clear();
  checks_.clear();
  answers_.clear();
  grants_.clear();
  sessions_.clear();
  const auto position = index_->position().value();
  if (how == Start::kRebuild || !position || position->next < log_first()) {
    index_ = store::make_memory_index();
    if (log_first().value != 0) {
      REQUIRE_FALSE(bases_.empty());
      REQUIRE(bases_.begin()->second.known.oldest_needed >= log_first());
      fill(*index_, bases_.begin()->second);
    }
  }
  start();
}

SessionId TestBroker::connect(std::string client) {
  const SessionId session(next_session_++);
  sessions_[session.value] = client;
  core_->session_opened(session, std::move(client));
  return session;
}

void TestBroker::disconnect(SessionId session) {
  core_->session_closed(session);
  sessions_.erase(session.value);
}

RequestId TestBroker::submit(SessionId session, Request body) {
  const RequestId request(next_request_++);
  Command command{.session = session, .request = request, .body = std::move(body)};
  core_->admit({&command, 1}, nullptr);
  collect();
  return request;
}

RequestId TestBroker::send(SessionId session, std::string topic, std::uint32_t route,
                           std::size_t bytes) {
  return admit_with_block(
      {.session = session, .body = SendRequest{.topic = std::move(topic)}, .route_hash = route},
      bytes);
}

RequestId TestBroker::send_numbered(SessionId session, std::string topic, std::uint64_t producer,
                                    std::uint64_t sequence, std::uint64_t digest) {
  return admit_with_block(
      {.session = session,
       .body = SendRequest{.topic = std::move(topic), .producer = producer, .sequence = sequence},
       .content_digest = digest},
      100);
}

RequestId TestBroker::admit_with_block(Command command, std::size_t bytes) {
  auto block = std::make_shared<std::string>(bytes, 'b');
  command.request = RequestId(next_request_++);
  command.block = *block;
  command.block_checksum = 1;
  const RequestId request = command.request;
  core_->admit({&command, 1}, block);
  collect();
  return request;
}

RequestId TestBroker::prepare(SessionId session, const Half& half) {
  return admit_with_block({.session = session,
                           .body = PrepareRequest{.topic = half.topic,
                                                  .transaction = half.id,
                                                  .group = half.group,
                                                  .store = half.store,
                                                  .message = half.message,
                                                  .fresh = half.fresh,
                                                  .first_check_ms = half.first_check_ms},
                           .content_digest = half.digest},
                          half.bytes);
}

void TestBroker::collect() {
  Effects& effects = core_->effects();
  for (Reply& reply : effects.replies) {
    REQUIRE(answers_.emplace(reply.request.value, std::move(reply.result)).second);
  }
  for (Grant& grant : effects.grants) {
    REQUIRE(grant.record_bytes.size() == grant.response.deliveries.size());
    for (const DeliveryHeader& delivery : grant.response.deliveries) {
      unreadable_ += delivery.lsn < log_first();
    }
    REQUIRE(grants_.emplace(grant.request.value, std::move(grant)).second);
  }
  for (AskCheck& check : effects.checks) checks_.push_back(std::move(check));
  for (Load& load : effects.loads) loads_.push_back(std::move(load));
  for (Loss& loss : effects.losses) losses_.push_back(std::move(loss));
  const auto cut = effects.cut;
  effects.clear();
  if (cut) carry_out(*cut);
}

std::optional<Result<Response>> TestBroker::answer(RequestId request) {
  auto node = answers_.extract(request.value);
  if (node.empty()) return std::nullopt;
  return std::move(node.mapped());
}

std::optional<Grant> TestBroker::granted(RequestId request) {
  auto node = grants_.extract(request.value);
  if (node.empty()) return std::nullopt;
  return std::move(node.mapped());
}

std::vector<AskCheck> TestBroker::take_checks() { return std::exchange(checks_, {}); }

std::vector<Loss> TestBroker::take_losses() { return std::exchange(losses_, {}); }

void TestBroker::take_entries() {
  while (core_->has_entry()) taken_.push_back(core_->take_entry());
}

bool TestBroker::commit_one() {
  if (taken_.empty()) return false;
  auto entry = std::move(taken_.front());
  taken_.pop_front();
  store_entry(entry->view());
  core_->committed(std::move(entry));
  collect();
  return true;
}

void TestBroker::serve_loads() {
  for (const Load& load : std::exchange(loads_, {})) {
    Loaded loaded{.ticket = load.ticket, .values = {}};
    if (load.base.value != 0) {
      const auto base = bases_.find(load.base);
      if (base == bases_.end()) {
        core_->loaded(std::move(loaded));
        continue;
      }
      for (auto row = base->second.rows.lower_bound(load.from);
           row != base->second.rows.end() && row->first < load.to; ++row) {
        loaded.values.push_back(*row);
      }
    } else if (load.to.empty()) {
      if (auto value = index_->get(load.from).value())
        loaded.values.emplace_back(load.from, *value);
    } else {
      REQUIRE(index_->scan(load.from, load.to, [&](std::string_view key, std::string_view value) {
        loaded.values.emplace_back(key, value);
        return loaded.values.size() < load.limit;
      }));
    }
    core_->loaded(std::move(loaded));
    collect();
  }
}

void TestBroker::run() {
  collect();
  while (core_->has_entry() || !taken_.empty() || !loads_.empty()) {
    take_entries();
    while (commit_one()) {
    }
    serve_loads();
  }
}

void TestBroker::advance(std::int64_t ms) {
  now_.wall_ms += ms;
  now_.boot_ms += ms;
  core_->tick(now_);
  collect();
}

void TestBroker::pass(std::int64_t ms, const std::string& topic) {
  const SessionId session = connect("passing");
  for (; ms > 0; ms -= 1'000) {
    if (!topic.empty()) send(session, topic);
    advance(std::min<std::int64_t>(ms, 1'000));
    run();
    if (core_->checkpoint_due()) checkpoint();
    run();
  }
  disconnect(session);
}

void TestBroker::make_topic(const std::string& name, std::uint32_t queues,
                            std::int64_t retention_ms) {
  const SessionId session = connect("maker");
  REQUIRE(ask<CreateTopicResponse>(
      session, CreateTopicRequest{.topic = name, .queues = queues, .retention_ms = retention_ms}));
  disconnect(session);
}

Result<PrepareResponse> TestBroker::prepared(SessionId session, const Half& half) {
  return wait_for<PrepareResponse>(prepare(session, half));
}

Result<EndResponse> TestBroker::end(SessionId session, const std::string& id, Decision decision,
                                    std::uint32_t messages, Handle handle,
                                    const std::string& group) {
  return ask<EndResponse>(session, EndRequest{.transaction = id,
                                              .group = group,
                                              .decision = decision,
                                              .handle = handle,
                                              .messages = messages});
}

Result<EndResponse> TestBroker::operator_end(SessionId session, const std::string& id,
                                             Decision decision) {
  return ask<EndResponse>(session,
                          EndRequest{.transaction = id, .decision = decision, .by_operator = true});
}

std::vector<DeliveryHeader> TestBroker::receive(SessionId session, const std::string& topic,
                                                const std::string& group, std::uint32_t max,
                                                std::int64_t lease_ms) {
  const RequestId request = submit(
      session,
      ReceiveRequest{.topic = topic, .group = group, .messages_max = max, .lease_ms = lease_ms});
  run();
  auto grant = granted(request);
  REQUIRE(grant.has_value());
  return grant->response.deliveries;
}

Result<SettleResponse> TestBroker::settle(SessionId session, const std::string& topic,
                                          const std::string& group, const DeliveryHeader& delivery,
                                          SettleAction action, std::int64_t delay_ms) {
  return ask<SettleResponse>(session, SettleRequest{.topic = topic,
                                                    .group = group,
                                                    .items = {{.queue = delivery.queue,
                                                               .offset = delivery.offset,
                                                               .attempt = delivery.attempt,
                                                               .action = action,
                                                               .delay_ms = delay_ms}}});
}

Result<TransactionInfo> TestBroker::show(SessionId session, const std::string& id) {
  auto shown = ask<ShowTransactionResponse>(session, ShowTransactionRequest{.transaction = id});
  if (!shown) return shown.error();
  return shown->transaction;
}

std::vector<TransactionInfo> TestBroker::list(SessionId session, std::uint32_t state,
                                              std::uint32_t page) {
  std::vector<TransactionInfo> all;
  std::string after;
  while (true) {
    auto listed = ask<ListTransactionsResponse>(
        session, ListTransactionsRequest{.state = state, .after = after, .limit = page});
    REQUIRE(listed);
    for (auto& transaction : listed->transactions) all.push_back(std::move(transaction));
    if (!listed->more) return all;
    REQUIRE((after.empty() || keys::id_form(listed->next_after) > keys::id_form(after)));
    after = listed->next_after;
  }
}

std::uint64_t TestBroker::published(const std::string& topic) {
  const SessionId session = connect("counter");
  const auto topics = ask<ListTopicsResponse>(session, ListTopicsRequest{.name = topic});
  disconnect(session);
  std::uint64_t count = 0;
  for (const auto& queue : topics.value().topics.at(0).queues) count += queue.next.value;
  return count;
}

std::string TestBroker::dump() {
  std::ostringstream out;
  const SessionId session = connect("dump");
  const auto topics = ask<ListTopicsResponse>(session, ListTopicsRequest{}).value();
  for (const auto& topic : topics.topics) {
    out << "topic " << topic.uid.value << ' ' << topic.name << ' ' << topic.checks.budget;
    for (const auto& queue : topic.queues)
      out << ' ' << queue.first.value << '-' << queue.next.value;
    out << '\n';
  }
  for (const auto& t : list(session, 0, 7)) {
    out << "txn " << t.id << ' ' << t.group << ' ' << t.client << ' ' << name(t.state) << ' '
        << t.messages << ' ' << t.handle.lsn.value << ' ' << t.handle.time_ms << ' '
        << t.next_check_at_ms << ' ' << t.expires_at_ms << ' ' << t.checks << ' '
        << name(t.decided_by) << ' ' << t.decided_at_ms << ' ' << t.decided_by_client << ' '
        << t.reason << t.store.to_hex();
    for (const auto& topic : t.topics) out << ' ' << topic;
    for (const auto& check : t.check_records) {
      out << ' ' << check.delivered_at_ms << check.client << check.answered_at_ms
          << name(check.answer) << check.reason;
    }
    out << '\n';
  }
  const auto producers =
      ask<ListProducerGroupsResponse>(session, ListProducerGroupsRequest{}).value();
  for (const auto& group : producers.groups) {
    out << "producer group " << group.name << ' ' << group.checks.budget << '\n';
  }
  const auto groups = ask<ListGroupsResponse>(session, ListGroupsRequest{}).value();
  for (const auto& group : groups.groups) {
    std::string before;
    for (const auto& q : group.queues) {
      out << "group " << group.name << ' ' << q.topic << ' ' << q.queue.value << ' '
          << q.floor.value << ' ' << q.next.value << ' ' << q.settled_above_floor << ' '
          << q.retrying << ' ' << q.dead_lettered << ' ' << q.unsettled << ' ' << q.lost << '\n';
      if (q.topic == before) continue;
      before = q.topic;
      std::vector<std::string> lines;
      while (true) {
        const auto deliveries = receive(session, q.topic, group.name, 64);
        if (deliveries.empty()) break;
        for (const auto& d : deliveries) {
          std::ostringstream line;
          line << "  " << d.queue.value << ' ' << d.offset.value << ' ' << d.lsn.value << ' '
               << d.attempt << ' ' << d.block_bytes;
          lines.push_back(line.str());
        }
      }
      std::sort(lines.begin(), lines.end());
      for (const auto& line : lines) out << line << '\n';
    }
  }
  disconnect(session);
  return out.str();
}

}  // namespace tally::broker
