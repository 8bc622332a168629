#include "tests/crash/crash_oracle.h"

#include <charconv>

namespace tally::test {

CrashOracle::Number CrashOracle::add(std::size_t body_bytes, Sent sent) {
  Number number = next_++;
  sent.body = std::to_string(number) + " ";
  // Filler that differs between messages, so that bytes of another message would not pass for these.
  while (sent.body.size() < body_bytes) {
    sent.body += static_cast<char>('a' + (number + sent.body.size()) % 26);
  }
  messages_.emplace(number, std::move(sent));
  return number;
}

CrashOracle::Number CrashOracle::begin_send(std::size_t body_bytes) { return add(body_bytes, {}); }

CrashOracle::Number CrashOracle::begin_transaction(std::size_t body_bytes, Decision decision) {
  return add(body_bytes, {.transactional = true, .decision = decision});
}

void CrashOracle::send_acknowledged(Number number, QueueId queue, Offset offset) {
  Sent& sent = messages_.at(number);
  sent.send_acknowledged = true;
  sent.queue = queue;
  sent.offset = offset;
}

void CrashOracle::delivered(std::string_view body, QueueId queue, Offset offset) {
  Number number = 0;
  std::from_chars(body.data(), body.data() + body.size(), number);
  auto found = messages_.find(number);
  if (found == messages_.end() || found->second.body != body) {
    ++strangers_;
    return;
  }
  Sent& sent = found->second;
  ++sent.deliveries;
  if (sent.send_acknowledged && (sent.queue != queue || sent.offset != offset)) sent.moved = true;
}

CrashOracle::Verdict CrashOracle::compare() const {
  Verdict verdict;
  verdict.invented = strangers_;
  for (const auto& [number, sent] : messages_) {
    bool commit = sent.transactional && sent.decision == Decision::kCommit;
    bool must = sent.send_acknowledged || (commit && sent.end_acknowledged);
    bool may = !sent.transactional || (commit && sent.end_asked);
    verdict.acknowledged += sent.send_acknowledged || sent.end_acknowledged;
    verdict.lost += must && sent.deliveries == 0;
    verdict.invented += (!may && sent.deliveries > 0) || sent.deliveries > 1 || sent.moved;
  }
  return verdict;
}

std::vector<CrashOracle::Transaction> CrashOracle::decided() const {
  std::vector<Transaction> transactions;
  for (const auto& [number, sent] : messages_) {
    if (sent.end_acknowledged) transactions.push_back({transaction_id(number), sent.decision});
  }
  return transactions;
}

}  // namespace tally::test
