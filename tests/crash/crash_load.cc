#include "tests/crash/crash_load.h"

#include <chrono>

#include "protocol/base/message_block.h"

namespace tally::test {
namespace {

constexpr std::int64_t kTimeoutMs = 30'000;
constexpr std::int64_t kPauseMs = 1;
constexpr int kSendsInFlight = 64;
constexpr int kTransactionsInFlight = 32;
constexpr int kReceivesInFlight = 4;

std::string block_of(const std::string& body) {
  std::string block;
  append_message_block(Message{.body = body}, 0, block).value();
  return block;
}

}  // namespace

CrashLoad::CrashLoad(const std::string& broker, std::uint64_t seed, CrashOracle& oracle)
    : oracle_(oracle), random_(seed) {
  net::ClientOptions options{.broker = broker, .reconnect = false};
  options.hello.client = kClient;
  client_ = net::Client::start(std::move(options), {}).value();
  client_->post([this] { begin(); });
}

CrashLoad::~CrashLoad() = default;

void CrashLoad::begin() {
  for (const auto& transaction : oracle_.transactions()) {
    // What is open keeps the log; where nothing is given up, some may stay open for long.
    if (transaction.end_acknowledged || (oracle_.retention_ms() == 0 && random_() % 2 == 0))
      continue;
    open_.push_back(transaction);
  }
  client_->ask(CreateTopicRequest{.topic = kTopic}, {}, kTimeoutMs,
               [this](Result<net::Answer>&& answer) {
                 if (!answer) return failed(answer.error());
                 for (int i = 0; i < kSendsInFlight; ++i) send();
                 for (int i = 0; i < kTransactionsInFlight; ++i) next_transaction();
                 for (int i = 0; i < kReceivesInFlight; ++i) receive();
               });
}

void CrashLoad::count(std::uint64_t& counter) {
  const std::lock_guard lock(mutex_);
  ++counter;
  changed_.notify_all();
}

bool CrashLoad::refused(const Result<net::Answer>& answer, CrashOracle::Number number) {
  if (answer) return false;
  const ErrorCode code = answer.error().code;
  if (code != ErrorCode::kOverloaded && code != ErrorCode::kDiskFull) return false;
  oracle_.refused(number);
  return true;
}

void CrashLoad::failed(const Error& error) {
  const bool lost_broker = error.code == ErrorCode::kDisconnected ||
                           error.code == ErrorCode::kUnreachable ||
                           error.code == ErrorCode::kClosed;
  const std::lock_guard lock(mutex_);
  gone_ = true;
  if (!lost_broker) refused_ = error;
  changed_.notify_all();
}

bool CrashLoad::wait_for(std::uint64_t sends, std::uint64_t transactions) {
  std::unique_lock lock(mutex_);
  sends += sends_;
  transactions += transactions_;
  changed_.wait(lock, [&] { return gone_ || (sends_ >= sends && transactions_ >= transactions); });
  if (refused_) throw Exception(*refused_);
  return !gone_;
}

bool CrashLoad::gone_within(int timeout_ms) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] { return gone_; });
  if (refused_) throw Exception(*refused_);
  return gone_;
}

void CrashLoad::send() {
  const CrashOracle::Number number = oracle_.begin_send();
  client_->ask(SendRequest{.topic = kTopic}, block_of(oracle_.body(number)), kTimeoutMs,
               [this, number](Result<net::Answer>&& answer) {
                 if (refused(answer, number)) {
                   return client_->post_after(kPauseMs, [this] { send(); });
                 }
                 if (!answer) return failed(answer.error());
                 oracle_.send_acknowledged(number, std::get<SendResponse>(answer->response));
                 count(sends_);
                 if (!gone_) send();
               });
}

void CrashLoad::next_transaction() {
  if (open_.empty()) return prepare();
  const CrashOracle::Transaction transaction = std::move(open_.back());
  open_.pop_back();
  end(transaction);
}

void CrashLoad::prepare() {
  const std::uint64_t dice = random_() % 20;
  const Decision decision = dice < 16 ? Decision::kCommit : Decision::kRollback;
  const bool leave_open = dice == 19;
  const CrashOracle::Number number = oracle_.begin_transaction(decision);
  PrepareRequest request{
      .topic = kTopic, .transaction = CrashOracle::transaction_id(number), .group = kProducerGroup};
  client_->ask(std::move(request), block_of(oracle_.body(number)), kTimeoutMs,
               [this, number, decision, leave_open](Result<net::Answer>&& answer) {
                 if (refused(answer, number)) {
                   return client_->post_after(kPauseMs, [this] { next_transaction(); });
                 }
                 if (!answer) return failed(answer.error());
                 const Handle& handle = std::get<PrepareResponse>(answer->response).handle;
                 oracle_.half_acknowledged(number, handle);
                 if (gone_) return;
                 if (leave_open) return next_transaction();
                 end({.number = number, .decision = decision, .handle = handle});
               });
}

void CrashLoad::end(const CrashOracle::Transaction& transaction) {
  const CrashOracle::Number number = transaction.number;
  oracle_.end_asked(number);
  EndRequest request{.transaction = CrashOracle::transaction_id(number),
                     .group = kProducerGroup,
                     .decision = transaction.decision,
                     .handle = transaction.handle,
                     .messages = 1};
  client_->ask(std::move(request), {}, kTimeoutMs,
               [this, number, asked_before = transaction.end_asked](Result<net::Answer>&& answer) {
                 // Decided long ago, which nobody was told, and given up.
                 const bool expired =
                     asked_before && !answer && answer.error().code == ErrorCode::kExpired;
                 if (!answer && !expired) return failed(answer.error());
                 if (!expired) oracle_.end_acknowledged(number);
                 count(transactions_);
                 if (!gone_) next_transaction();
               });
}

void CrashLoad::receive() {
  ReceiveRequest request{
      .topic = kTopic, .group = kConsumerGroup, .messages_max = 64, .wait_ms = 1'000};
  client_->ask(std::move(request), {}, kTimeoutMs, [this](Result<net::Answer>&& answer) {
    if (!answer) return failed(answer.error());
    settle(std::get<ReceiveResponse>(answer->response), answer->payload);
    if (!gone_) receive();
  });
}

void CrashLoad::settle(const ReceiveResponse& received, std::string_view blocks) {
  std::vector<CrashOracle::Number> numbers;
  SettleRequest request{.topic = kTopic, .group = kConsumerGroup};
  for (const DeliveryHeader& delivery : received.deliveries) {
    const auto block = MessageBlock::parse(blocks.substr(0, delivery.block_bytes)).value();
    blocks.remove_prefix(delivery.block_bytes);
    const auto number = oracle_.consumed(block.body(), delivery);
    if (!number) continue;
    const bool again = random_() % 8 == 0;
    request.items.push_back({.queue = delivery.queue,
                             .offset = delivery.offset,
                             .attempt = delivery.attempt,
                             .action = again ? SettleAction::kNack : SettleAction::kAck,
                             .delay_ms = again ? 0 : -1});
    numbers.push_back(*number);
  }
  if (numbers.empty()) return;
  client_->ask(request, {}, kTimeoutMs,
               [this, items = request.items, numbers](Result<net::Answer>&& answer) {
                 if (!answer) return failed(answer.error());
                 const auto& settled = std::get<SettleResponse>(answer->response);
                 for (std::size_t i = 0; i < items.size(); ++i) {
                   if (settled.results[i] != ErrorCode::kOk) continue;
                   oracle_.settle_acknowledged(numbers[i], items[i].attempt, items[i].action,
                                               settled.applied);
                 }
               });
}

}  // namespace tally::test
