#include "tests/simulation/broker_sessions.h"

#include <utility>

#include "protocol/base/limits.h"
#include "protocol/base/message_block.h"

namespace tally::simulation {

BrokerSessions::BrokerSessions(Network& network, const Network::Party& broker, Setting setting,
                               broker::CoreMail& mail, std::function<void()> wake)
    : network_(network),
      broker_(broker),
      setting_(std::move(setting)),
      mail_(mail),
      wake_(std::move(wake)),
      newest_(setting_.newest_session) {}

SessionId BrokerSessions::accept(Network::Connection connection, std::int64_t now_ms) {
  Session& session = by_connection_[connection];
  session.id = SessionId(++newest_);
  session.connection = connection;
  session.received_ms = now_ms;
  by_id_[session.id.value] = connection;
  return session.id;
}

void BrokerSessions::received(Network::Connection connection, std::string_view bytes,
                              std::int64_t now_ms, std::int64_t wall_ms) {
  const auto found = by_connection_.find(connection);
  if (found == by_connection_.end()) return;
  Session& session = found->second;
  session.received_ms = now_ms;
  auto owned = std::make_shared<std::string>(std::move(session.unread));
  owned->append(bytes);
  session.unread.clear();
  const wire::FrameDecoder decoder(limits::kFrameBytesMax);
  std::string_view left = *owned;
  broker::CommandBatch batch;
  while (!left.empty()) {
    const auto step = decoder.next(left).value();
    if (!step.frame) break;
    left.remove_prefix(step.consumed);
    take(session, *step.frame, wall_ms, batch);
  }
  session.unread = left;
  if (batch.commands.empty()) return;
  batch.bytes = std::move(owned);
  mail_.batches.push_back(std::move(batch));
  wake_();
}

void BrokerSessions::take(Session& session, const wire::Frame& frame, std::int64_t wall_ms,
                          broker::CommandBatch& batch) {
  if (!session.open) return greet(session, frame, wall_ms);
  if (frame.is_answer()) {
    if (frame.is_error()) return;
    mail_.receipts.push_back({session.id, frame.request.value});
    return wake_();
  }
  auto request = codec_.decode_request(frame);
  std::string answer;
  if (!request) {
    codec_.append_error(frame.request, frame.kind, request.error(), answer);
    return send(session, std::move(answer));
  }
  if (std::holds_alternative<PingRequest>(*request)) {
    codec_.append_response(frame.request, PingResponse{wall_ms}, {}, answer);
    return send(session, std::move(answer));
  }
  broker::Command command{.session = session.id, .request = frame.request};
  const bool is_prepare = std::holds_alternative<PrepareRequest>(*request);
  if (is_prepare || std::holds_alternative<SendRequest>(*request)) {
    const MessageBlock block = MessageBlock::parse(frame.payload).value();
    command.block = block.bytes();
    command.block_checksum = block.checksum();
    command.route_hash = block.route_hash();
    command.tag_hash = block.tag_hash();
    if (is_prepare) command.content_digest = block.content_digest();
  }
  command.body = *std::move(request);
  batch.commands.push_back(std::move(command));
}

void BrokerSessions::greet(Session& session, const wire::Frame& frame, std::int64_t wall_ms) {
  const auto request = codec_.decode_request(frame).value();
  session.open = true;
  mail_.opened.push_back({session.id, std::get<HelloRequest>(request).client});
  wake_();
  std::string answer;
  codec_.append_response(frame.request,
                         HelloResponse{.session = session.id,
                                       .log = setting_.log,
                                       .window = limits::kWindow,
                                       .frame_bytes_max = limits::kFrameBytesMax,
                                       .broker_time_ms = wall_ms,
                                       .ping_ms = kPingMs,
                                       .first_check_ms = setting_.first_check_ms,
                                       .transaction_lifetime_ms = setting_.lifetime_ms},
                         {}, answer);
  send(session, std::move(answer));
}

void BrokerSessions::closed(Network::Connection connection) {
  const auto found = by_connection_.find(connection);
  if (found == by_connection_.end()) return;
  const Session session = std::move(found->second);
  by_id_.erase(session.id.value);
  by_connection_.erase(found);
  if (!session.open) return;
  mail_.closed.push_back(session.id);
  wake_();
}

void BrokerSessions::sweep(std::int64_t now_ms) {
  std::vector<Network::Connection> silent;
  for (const auto& [connection, session] : by_connection_) {
    if (now_ms - session.received_ms > 4 * kPingMs) silent.push_back(connection);
  }
  for (const Network::Connection connection : silent) {
    network_.close(connection, broker_);
    closed(connection);
  }
}

BrokerSessions::Session* BrokerSessions::find(SessionId session) {
  const auto found = by_id_.find(session.value);
  if (found == by_id_.end()) return nullptr;
  return &by_connection_.at(found->second);
}

std::vector<Network::Connection> BrokerSessions::connections() const {
  std::vector<Network::Connection> all;
  for (const auto& [connection, session] : by_connection_) all.push_back(connection);
  return all;
}

void BrokerSessions::send(const Session& session, std::string bytes) {
  network_.send(session.connection, broker_, std::move(bytes));
}

void BrokerSessions::answer(const broker::Reply& reply) {
  const Session* session = find(reply.session);
  if (session == nullptr) return;
  std::string bytes;
  if (reply.result) {
    codec_.append_response(reply.request, *reply.result, {}, bytes);
  } else {
    codec_.append_error(reply.request, static_cast<std::uint8_t>(reply.kind), reply.result.error(),
                        bytes);
  }
  send(*session, std::move(bytes));
}

Result<void> BrokerSessions::answer(broker::Grant&& grant, const LogWatch& log) {
  const Session* session = find(grant.session);
  if (session == nullptr) return {};
  std::string payload;
  for (std::size_t i = 0; i < grant.response.deliveries.size();) {
    const DeliveryHeader& delivery = grant.response.deliveries[i];
    const auto read = setting_.reader->read_block(delivery.lsn, grant.record_bytes[i],
                                                  store::LogReader::Wait::kDisk, payload);
    if (read) {
      ++i;
    } else if (read.error().code == ErrorCode::kExpired && log.given_up(delivery)) {
      grant.drop(i);
    } else {
      return read.error();
    }
  }
  std::string bytes;
  codec_.append_response(grant.request, Response(std::move(grant.response)), payload, bytes);
  send(*session, std::move(bytes));
  return {};
}

void BrokerSessions::ask(const broker::AskCheck& check) {
  const Session* session = find(check.session);
  if (session == nullptr) return;
  std::string bytes;
  codec_.append_request(RequestId(check.request.challenge), check.request, {}, bytes);
  send(*session, std::move(bytes));
}

}  // namespace tally::simulation
