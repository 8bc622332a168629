#include "tools/tally/bench/load.h"

#include <future>
#include <memory>
#include <vector>

#include "protocol/base/clock.h"
#include "protocol/base/message_block.h"
#include "protocol/base/random.h"
#include "protocol/net/client.h"

namespace tally::cli {
namespace {

constexpr std::int64_t kTimeoutMs = 60'000;
constexpr std::size_t kKeys = 64;  // so that messages go to all queues

/// Shared by all connections; touched by the one network thread only, but for `done`.
struct Run {
  const LoadOptions& options;
  std::atomic<std::uint64_t>& done;
  std::vector<std::string> blocks{};
  std::uint64_t begun = 0;
  std::uint64_t ended = 0;
  std::int64_t begin_us = 0;
  std::int64_t end_us = 0;
  LoadResult result{};
  std::promise<void> finished{};
};

/// Messages with a key of 16 bytes and a tag.
Result<std::vector<std::string>> make_blocks(std::uint32_t body_bytes) {
  std::vector<std::string> blocks(kKeys);
  for (std::size_t i = 0; i < kKeys; ++i) {
    const std::string number = std::to_string(i);
    const Message message{.key = "order-" + std::string(10 - number.size(), '0') + number,
                          .tag = "paid",
                          .body = std::string(body_bytes, 'x')};
    TALLY_TRY_VOID(append_message_block(message, system_clock().wall_ms(), blocks[i]));
  }
  return blocks;
}

/// One connection: `window` slots, each with one message or transaction under way.
class Driver {
 public:
  Driver(Run& run, std::unique_ptr<net::Client> client)
      : run_(run), client_(std::move(client)), slots_(run.options.window) {}

  net::Client& client() { return *client_; }

  void begin() {
    for (std::uint32_t slot = 0; slot < slots_.size(); ++slot) next(slot);
  }

 private:
  struct Slot {
    std::int64_t begin_us = 0;
    std::string transaction{};
  };

  void next(std::uint32_t slot) {
    if (run_.begun == run_.options.messages) return;
    const std::string& block = run_.blocks[run_.begun++ % kKeys];
    Slot& s = slots_[slot];
    s.begin_us = system_clock().boot_us();
    if (run_.options.kind == LoadOptions::Kind::kPublish) {
      client_->ask(SendRequest{.topic = run_.options.topic}, block, kTimeoutMs,
                   [this, slot](Result<net::Answer>&& answer) { end(slot, answer); });
      return;
    }
    s.transaction = make_transaction_id(s.begin_us / 1000);
    PrepareRequest prepare{
        .topic = run_.options.topic, .transaction = s.transaction, .group = "bench", .fresh = true};
    client_->ask(std::move(prepare), block, kTimeoutMs, [this, slot](Result<net::Answer>&& answer) {
      if (run_.options.kind == LoadOptions::Kind::kPrepare) return end(slot, answer);
      commit(slot, answer);
    });
  }

  void commit(std::uint32_t slot, const Result<net::Answer>& prepared) {
    if (!prepared) return end(slot, prepared);
    EndRequest commit{.transaction = slots_[slot].transaction,
                      .group = "bench",
                      .decision = Decision::kCommit,
                      .handle = std::get<PrepareResponse>(prepared->response).handle,
                      .messages = 1};
    client_->ask(std::move(commit), {}, kTimeoutMs,
                 [this, slot](Result<net::Answer>&& answer) { end(slot, answer); });
  }

  void end(std::uint32_t slot, const Result<net::Answer>& answer) {
    std::int64_t now_us = system_clock().boot_us();
    if (answer) {
      run_.result.latency_us.add(static_cast<std::uint64_t>(now_us - slots_[slot].begin_us));
    } else {
      if (run_.result.refused++ == 0) run_.result.first_refusal = answer.error();
    }
    run_.done.store(++run_.ended, std::memory_order_relaxed);
    if (run_.ended == run_.options.messages) {
      run_.end_us = now_us;
      run_.finished.set_value();
    } else {
      next(slot);
    }
  }

  Run& run_;
  std::unique_ptr<net::Client> client_;
  std::vector<Slot> slots_;
};

}  // namespace

Result<LoadResult> run_load(const LoadOptions& options, std::atomic<std::uint64_t>& done) {
  Run run{.options = options, .done = done};
  TALLY_TRY(run.blocks, make_blocks(options.size));

  auto loop = std::make_shared<net::Loop>();
  std::vector<std::unique_ptr<Driver>> drivers;
  for (std::uint32_t i = 0; i < options.connections; ++i) {
    net::ClientOptions client_options;
    client_options.broker = options.broker;
    client_options.hello.client = "bench";
    client_options.loop = loop;
    TALLY_TRY(auto client, net::Client::start(std::move(client_options), {}));
    drivers.push_back(std::make_unique<Driver>(run, std::move(client)));
    // One answered request each, so that all are connected before the clock starts.
    TALLY_TRY_VOID(net::ask_and_wait(drivers.back()->client(),
                                     ListTopicsRequest{.name = options.topic}, {}, kTimeoutMs));
  }
  run.begin_us = system_clock().boot_us();
  for (auto& driver : drivers) driver->client().post([&driver] { driver->begin(); });
  run.finished.get_future().wait();
  run.result.seconds = static_cast<double>(run.end_us - run.begin_us) / 1e6;
  return std::move(run.result);
}

}  // namespace tally::cli
