#include "tests/crash/crash_load.h"

#include "protocol/base/message_block.h"

namespace tally::test {
namespace {

constexpr std::int64_t kTimeoutMs = 30'000;

std::string block_of(const std::string& body) {
  std::string block;
  append_message_block(Message{.body = body}, 0, block).value();
  return block;
}

}  // namespace

CrashLoad::CrashLoad(Options options, CrashOracle& oracle)
    : options_(std::move(options)), oracle_(oracle), random_(options_.seed) {
  net::ClientOptions client_options;
  client_options.broker = options_.broker;
  client_options.hello.client = "crash-load";
  client_ = net::Client::start(std::move(client_options), {}).value();
  client_->post([this] {
    for (std::uint32_t i = 0; i < options_.sends_in_flight; ++i) send();
    for (std::uint32_t i = 0; i < options_.transactions_in_flight; ++i) prepare();
  });
}

CrashLoad::~CrashLoad() = default;

void CrashLoad::count(std::uint64_t& counter) {
  std::lock_guard lock(mutex_);
  ++counter;
  changed_.notify_all();
}

void CrashLoad::broker_gone() {
  std::lock_guard lock(mutex_);
  gone_ = true;
  changed_.notify_all();
}

bool CrashLoad::wait_for(std::uint64_t sends, std::uint64_t transactions) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return gone_ || (sends_ >= sends && transactions_ >= transactions); });
  return !gone_;
}

void CrashLoad::send() {
  CrashOracle::Number number = oracle_.begin_send(options_.body_bytes);
  client_->ask(SendRequest{.topic = options_.topic}, block_of(oracle_.body(number)), kTimeoutMs,
               [this, number](Result<net::Answer>&& answer) {
                 if (!answer) return broker_gone();
                 const auto& sent = std::get<SendResponse>(answer->response);
                 oracle_.send_acknowledged(number, sent.queue, sent.offset);
                 count(sends_);
                 if (!gone_) send();
               });
}

void CrashLoad::prepare() {
  std::uint64_t dice = random_() % 20;
  Decision decision = dice < 16 ? Decision::kCommit : Decision::kRollback;
  bool leave_pending = dice == 19;
  CrashOracle::Number number = oracle_.begin_transaction(options_.body_bytes, decision);
  PrepareRequest request{.topic = options_.topic,
                         .transaction = CrashOracle::transaction_id(number),
                         .group = "crash"};
  client_->ask(std::move(request), block_of(oracle_.body(number)), kTimeoutMs,
               [this, number, decision, leave_pending](Result<net::Answer>&& answer) {
                 if (!answer) return broker_gone();
                 oracle_.prepare_acknowledged(number);
                 if (gone_) return;
                 if (leave_pending) return prepare();
                 end(number, decision, std::get<PrepareResponse>(answer->response).handle);
               });
}

void CrashLoad::end(CrashOracle::Number number, Decision decision, const Handle& handle) {
  oracle_.end_asked(number);
  EndRequest request{.transaction = CrashOracle::transaction_id(number),
                     .group = "crash",
                     .decision = decision,
                     .handle = handle,
                     .messages = 1};
  client_->ask(std::move(request), {}, kTimeoutMs, [this, number](Result<net::Answer>&& answer) {
    if (!answer) return broker_gone();
    oracle_.end_acknowledged(number);
    count(transactions_);
    if (!gone_) prepare();
  });
}

}  // namespace tally::test
