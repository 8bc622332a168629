#include "tests/crash/crash_oracle.h"

#include <algorithm>
#include <charconv>

#include "store/record_extensions.h"

namespace tally::test {
namespace {

constexpr std::size_t kExamplesMax = 20;
constexpr std::int64_t kMargin = 5;  // a broker's clock may be ahead of ours by 10 %

std::string name_of(CrashOracle::Number number) { return "message " + std::to_string(number); }

std::optional<CrashOracle::Number> number_in(std::string_view text) {
  CrashOracle::Number number = 0;
  const auto end = text.data() + text.size();
  if (std::from_chars(text.data(), end, number).ec != std::errc()) return std::nullopt;
  return number;
}

}  // namespace

std::string CrashOracle::body(Number number) const {
  std::string body = std::to_string(number) + " ";
  // Filler that differs between messages, so that bytes of another message do not pass for these.
  while (body.size() < body_bytes_) {
    body += static_cast<char>('a' + (number + body.size()) % 26);
  }
  return body;
}

CrashOracle::Number CrashOracle::add(Message message) {
  const std::lock_guard lock(mutex_);
  messages_.emplace(next_, message);
  return next_++;
}

CrashOracle::Number CrashOracle::begin_send() { return add({}); }

CrashOracle::Number CrashOracle::begin_transaction(Decision decision) {
  return add({.transactional = true, .decision = decision});
}

void CrashOracle::send_acknowledged(Number number, const SendResponse& sent) {
  const std::lock_guard lock(mutex_);
  if (!open_) return;
  Message& message = messages_.at(number);
  message.sent = true;
  message.at_ms = clock_.boot_ms();
  message.lsn = sent.lsn;
  message.queue = sent.queue;
  message.offset = sent.offset;
  lsn_newest_ = std::max(lsn_newest_, sent.lsn);
  ++acknowledged_;
}

void CrashOracle::half_acknowledged(Number number, const Handle& handle) {
  const std::lock_guard lock(mutex_);
  if (!open_) return;
  Message& message = messages_.at(number);
  message.half = true;
  message.handle = handle;
  message.lsn = handle.lsn;
  lsn_newest_ = std::max(lsn_newest_, handle.lsn);
  ++acknowledged_;
}

void CrashOracle::refused(Number number) {
  const std::lock_guard lock(mutex_);
  messages_.erase(number);
}

void CrashOracle::end_asked(Number number) {
  const std::lock_guard lock(mutex_);
  Message& message = messages_.at(number);
  message.end_asked = true;
  message.at_ms = clock_.boot_ms();
}

void CrashOracle::end_acknowledged(Number number) {
  const std::lock_guard lock(mutex_);
  if (!open_) return;
  Message& message = messages_.at(number);
  message.end_acknowledged = true;
  message.at_ms = clock_.boot_ms();
  ++acknowledged_;
}

CrashOracle::Message* CrashOracle::find(std::string_view body, const DeliveryHeader& delivery) {
  const auto number = number_in(body);
  const auto found = number ? messages_.find(*number) : messages_.end();
  if (found == messages_.end() || this->body(*number) != body) {
    ++invented_;
    note("LSN " + std::to_string(delivery.lsn.value) + " was never sent, or refused");
    return nullptr;
  }
  Message& message = found->second;
  const bool commit = message.decision == Decision::kCommit && message.end_asked;
  if (message.transactional && !commit) {
    ++invented_;
    note(name_of(*number) + " was delivered without a COMMIT");
  }
  const bool moved =
      message.sent && (message.queue != delivery.queue || message.offset != delivery.offset);
  if (moved || (message.lsn != Lsn() && message.lsn != delivery.lsn)) {
    ++invented_;
    note(name_of(*number) + " has another position than the one acknowledged");
  }
  return &message;
}

std::optional<CrashOracle::Number> CrashOracle::consumed(std::string_view body,
                                                         const DeliveryHeader& delivery) {
  const std::lock_guard lock(mutex_);
  Message* message = find(body, delivery);
  if (message == nullptr) return std::nullopt;
  const Number number = *number_in(body);
  if (message->settled || delivery.attempt < message->attempt_least) {
    ++lost_;
    note("a settle of " + name_of(number) + " was forgotten");
  }
  message->consumed = true;
  return number;
}

void CrashOracle::settle_acknowledged(Number number, std::uint32_t attempt, SettleAction action,
                                      EntryIndex applied) {
  const std::lock_guard lock(mutex_);
  if (!open_) return;
  Message& message = messages_.at(number);
  if (action == SettleAction::kAck) {
    message.settled = true;
  } else {
    message.attempt_least = attempt + 1;
  }
  applied_newest_ = std::max(applied_newest_, applied);
  ++acknowledged_;
}

void CrashOracle::close_books() {
  const std::lock_guard lock(mutex_);
  open_ = false;
}

void CrashOracle::open_books() {
  const std::lock_guard lock(mutex_);
  open_ = true;
}

bool CrashOracle::promised(const store::EntryView& entry) const {
  const std::lock_guard lock(mutex_);
  if (entry.header.index <= applied_newest_ || entry.header.lsn <= lsn_newest_) return true;
  return std::any_of(entry.records.begin(), entry.records.end(), [&](const auto& record) {
    if (record.header.type != store::RecordType::kEnd) return false;
    const auto end = store::decode<store::EndExtension>(record.header, record.extension);
    const auto number = number_in(end->transaction.substr(1));
    const auto found = messages_.find(number.value_or(0));
    return found != messages_.end() && found->second.end_acknowledged;
  });
}

void CrashOracle::retention_ends() {
  const std::lock_guard lock(mutex_);
  retention_ended_ms_ = clock_.boot_ms();
}

void CrashOracle::floor(QueueId queue, Offset first) {
  const std::lock_guard lock(mutex_);
  floors_[queue] = first;
}

bool CrashOracle::is_old(const Message& message) const {
  return retention_ms_ != 0 &&
         retention_ended_ms_ - message.at_ms > retention_ms_ - retention_ms_ / kMargin;
}

bool CrashOracle::may_be_gone(const Message& message) const {
  if (!is_old(message)) return false;
  const auto floor = floors_.find(message.queue);
  return !message.sent || (floor != floors_.end() && message.offset < floor->second);
}

void CrashOracle::audited(std::string_view body, const DeliveryHeader& delivery) {
  const std::lock_guard lock(mutex_);
  Message* message = find(body, delivery);
  if (message == nullptr || ++message->audits == 1) return;
  ++invented_;
  note(name_of(*number_in(body)) + " stands in its queue twice");
}

std::vector<CrashOracle::Transaction> CrashOracle::transactions() const {
  const std::lock_guard lock(mutex_);
  std::vector<Transaction> transactions;
  for (const auto& [number, message] : messages_) {
    if (!message.half) continue;
    transactions.push_back({number, transaction_id(number), message.decision, message.handle,
                            message.end_asked, message.end_acknowledged, is_old(message)});
  }
  return transactions;
}

void CrashOracle::lost(std::string what) {
  const std::lock_guard lock(mutex_);
  ++lost_;
  note(std::move(what));
}

void CrashOracle::invented(std::string what) {
  const std::lock_guard lock(mutex_);
  ++invented_;
  note(std::move(what));
}

void CrashOracle::note(std::string what) {
  if (examples_.size() < kExamplesMax) examples_.push_back(std::move(what));
}

CrashOracle::Verdict CrashOracle::verdict() const {
  const std::lock_guard lock(mutex_);
  Verdict verdict{acknowledged_, lost_, invented_, examples_};
  for (const auto& [number, message] : messages_) {
    const bool committed = message.decision == Decision::kCommit && message.end_acknowledged;
    const bool must = message.sent || committed;
    if (!must || (message.audits > 0 && message.consumed) || may_be_gone(message)) continue;
    ++verdict.lost;
    if (verdict.examples.size() < kExamplesMax) {
      verdict.examples.push_back(name_of(number) + " is not there");
    }
  }
  return verdict;
}

}  // namespace tally::test
