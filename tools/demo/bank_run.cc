#include "tools/demo/bank_run.h"

#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "protocol/base/clock.h"
#include "protocol/net/client.h"

namespace tally::demo {
namespace {

constexpr std::int64_t kTimeoutMs = 10'000;
constexpr int kLookAgainMs = 50;

template <typename Ids, typename Text>
std::string join(const Ids& ids, Text&& text) {
  std::string joined;
  for (const auto& id : ids) joined += (joined.empty() ? "" : ",") + text(id);
  return joined;
}

void draw_progress(TransferId done, TransferId all, int kills) {
  constexpr TransferId kWidth = 40;
  if (!isatty(STDERR_FILENO)) {
    if (done % (all / 10) == 0)
      std::fprintf(stderr, "transfer %u of %u, %d kills\n", done, all, kills);
    return;
  }
  std::string bar(done * kWidth / all, '#');
  bar.resize(kWidth, ' ');
  std::fprintf(stderr, "\r[%s] transfer %u of %u, %d kills%s", bar.c_str(), done, all, kills,
               done == all ? "\n" : "");
}

}  // namespace

BankRun::BankRun(Options options)
    : options_(std::move(options)),
      broker_kills_left_(options_.plan.broker_kills),
      deaths_of_b_left_(options_.plan.deaths_of_b) {
  std::string folder = std::filesystem::temp_directory_path() / "tally-demo-XXXXXX";
  if (!mkdtemp(folder.data())) throw Exception(Error(ErrorCode::kIo, "cannot make " + folder));
  folder_ = folder;
  database_a_ = open_bank(path_a(folder_), kBalanceOfA).value();
  database_b_ = open_bank(path_b(folder_), 0).value();
  start_tallyd("127.0.0.1:0");
  auto client = net::Client::start({.broker = broker_->address}, {}).value();
  net::ask_and_wait(*client, CreateTopicRequest{.topic = kTopic}, {}, kTimeoutMs).value();
  b_thread_ = std::thread([this] { keep_b_running(); });
}

BankRun::~BankRun() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    if (b_) b_->signal(SIGTERM);
  }
  b_thread_.join();
  a_.reset();
  if (broker_) broker_->process.signal(SIGTERM), broker_->process.wait();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void BankRun::start_tallyd(const std::string& listen) {
  broker_ = start_broker(program_folder() + "/tallyd",
                         {"--data-dir", folder_ + "/data", "--listen", listen, "--log-level",
                          "warn", "--first-check-ms", "1000", "--check-answer-ms", "1000"},
                         folder_ + "/tallyd.log")
                .value();
}

std::vector<std::string> BankRun::arguments_for(const std::string& service,
                                                const std::string& deaths) const {
  return {service, "--broker", broker_->address, "--folder", folder_, "--die-at", deaths};
}

Result<void> BankRun::run() {
  for (TransferId from = 1;;) {
    TALLY_TRY(int status, run_a_from(from));
    if (status == 0) return {};
    if (status != -SIGKILL) {
      return Error(ErrorCode::kHandlerFailed,
                   "service A ended with exit code " + std::to_string(status));
    }
    ++kills_of_a_;
    from = begun_ + 1;
  }
}

Result<int> BankRun::run_a_from(TransferId from) {
  const Plan& plan = options_.plan;
  std::string deaths = join(plan.deaths_of_a, [](const auto& death) {
    return std::to_string(death.first) + ":" + std::string(name(death.second));
  });
  if (options_.service == "naive-a") {
    deaths = join(plan.stops_of_a, [](TransferId id) { return std::to_string(id); });
  }
  auto arguments = arguments_for(options_.service, deaths);
  arguments.insert(arguments.end(),
                   {"--from", std::to_string(from), "--to", std::to_string(options_.transfers)});
  TALLY_TRY(ChildProcess started,
            ChildProcess::start(program_folder() + "/demo", arguments, folder_ + "/a.log"));
  {
    std::lock_guard lock(mutex_);
    a_ = std::move(started);
  }
  while (auto line = a_->read_line()) {
    std::istringstream words(*line);
    std::string event;
    TransferId id = 0;
    words >> event >> id;
    if (event == "done") return 0;
    if (event == "begin") begin_transfer(id);
    if (event == "stopping" && options_.on_stopping) options_.on_stopping(id);
  }
  return a_->wait();
}

void BankRun::begin_transfer(TransferId id) {
  begun_ = id;
  if (!broker_kills_left_.empty() && id >= broker_kills_left_.front()) {
    broker_kills_left_.erase(broker_kills_left_.begin());
    broker_->process.signal(SIGKILL);
    broker_->process.wait();
    ++kills_of_broker_;
    start_tallyd(broker_->address);
  }
  draw_progress(id, options_.transfers, kills_of_a_ + kills_of_b() + kills_of_broker_);
}

void BankRun::keep_b_running() {
  for (;;) {
    std::unique_lock lock(mutex_);
    if (stopping_) return;
    std::string deaths = join(deaths_of_b_left_, [](TransferId id) { return std::to_string(id); });
    b_ = ChildProcess::start(program_folder() + "/demo", arguments_for("service-b", deaths),
                             folder_ + "/b.log")
             .value();
    lock.unlock();
    while (auto line = b_->read_line()) note_handling(*line);
    int status = b_->wait();
    lock.lock();
    if (status != -SIGKILL) return;  // at the end, or a failure that settle() will see
    ++kills_of_b_;
    deaths_of_b_left_.erase(last_handled_);
  }
}

void BankRun::note_handling(const std::string& line) {
  std::istringstream words(line);
  std::string event, uid;
  TransferId id = 0;
  words >> event >> id >> uid;
  std::lock_guard lock(mutex_);
  last_handled_ = id;
  ++handled_[uid];
}

bool BankRun::settle(std::chrono::seconds limit) {
  const std::int64_t deadline_ms = system_clock().boot_ms() + limit.count() * 1000;
  while (system_clock().boot_ms() < deadline_ms) {
    Tallies now = tallies();
    if (now.in_doubt == 0 && books_b().transfers == static_cast<std::int64_t>(now.committed)) {
      return true;
    }
    poll(nullptr, 0, kLookAgainMs);
  }
  return false;
}

void BankRun::continue_a() {
  std::lock_guard lock(mutex_);
  if (a_) a_->resume();
}

Tallies BankRun::tallies() const {
  Tallies sums;
  auto client = net::Client::start({.broker = broker_->address}, {}).value();
  for (ListTransactionsRequest page;;) {
    auto answer = net::ask_and_wait(*client, page, {}, kTimeoutMs).value();
    auto& listed = std::get<ListTransactionsResponse>(answer.response);
    for (const TransactionInfo& transaction : listed.transactions) {
      bool committed = transaction.state == TransactionState::kCommitted;
      bool rolled_back = transaction.state == TransactionState::kRolledBack;
      sums.committed += committed;
      sums.rolled_back += rolled_back;
      sums.in_doubt += !committed && !rolled_back;
      sums.by_check += transaction.decided_by == Decider::kCheck;
    }
    if (!listed.more) return sums;
    page.after = listed.next_after;
  }
}

int BankRun::kills_of_b() const {
  std::lock_guard lock(mutex_);
  return kills_of_b_;
}

std::uint64_t BankRun::redelivered() const {
  std::lock_guard lock(mutex_);
  std::uint64_t count = 0;
  for (const auto& [uid, times] : handled_) count += times > 1;
  return count;
}

}  // namespace tally::demo
