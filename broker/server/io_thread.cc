#include "broker/server/io_thread.h"

#include <algorithm>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <iterator>

#include "broker/server/thread_name.h"
#include "protocol/base/clock.h"

namespace tally::broker {
namespace {

constexpr int kEventsPerRound = 64;
constexpr std::size_t kCommandsPerPut = 512;
constexpr std::size_t kSpareBuffers = 16;
constexpr std::size_t kSpareBufferBytesMax = 256u << 10;
constexpr std::int64_t kFinishMs = 2'000;

template <typename T>
void append(std::vector<T>& to, std::vector<T>& from) {
  if (to.empty()) {
    std::swap(to, from);
  } else {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
    from.clear();
  }
}

std::int64_t sweep_period_ms(const SessionLimits& limits) {
  const std::int64_t shortest =
      std::min({limits.hello_ms, limits.frame_ms, limits.idle_ms, limits.closing_ms});
  return std::clamp<std::int64_t>(shortest / 4, 5, 250);
}

}  // namespace

IoThread::IoThread(unsigned number, const Wiring& wiring)
    : number_(number),
      wiring_(wiring),
      context_(1),
      sweep_timer_(context_),
      chunks_(*wiring.chunks),
      now_ms_(system_clock().boot_ms()) {}

IoThread::~IoThread() { finish(); }

void IoThread::start() {
  thread_ = std::thread([this] { run(); });
}

void IoThread::run() {
  name_this_thread("tally-io-" + std::to_string(number_));
  const auto guard = asio::make_work_guard(context_);
  sweep();
  while (finish_by_ms_ == 0 || (!sessions_.empty() && now_ms_ < finish_by_ms_)) {
    context_.run_one();
    for (int events = 1; events < kEventsPerRound && core_commands_ < kCommandsPerPut; ++events) {
      if (context_.poll_one() == 0) break;
    }
    after_events();
  }
  while (!sessions_.empty()) {
    sessions_.begin()->second->close();
    after_events();
  }
}

void IoThread::post_mail() {
  asio::post(context_, [this] { take_mail(); });
}

void IoThread::take_mail() {
  {
    std::lock_guard lock(mutex_);
    std::swap(mail_, taken_);
    mail_posted_ = false;
  }
  deliver(taken_);
  taken_.clear();
}

void IoThread::deliver(IoMail& mail) {
  Session* session = nullptr;
  const auto with_session = [&](SessionId id, auto&& act) {
    if (session == nullptr || session->id() != id) session = find(id);
    if (session != nullptr) act(*session);
  };
  for (Reply& reply : mail.replies) {
    with_session(reply.session, [&](Session& to) { to.answer(reply); });
  }
  for (Grant& grant : mail.grants) {
    with_session(grant.session, [&](Session& to) { to.answer(std::move(grant)); });
  }
  for (ReadGrant& read : mail.read_grants) {
    with_session(read.grant.session, [&](Session& to) { to.answer(std::move(read)); });
  }
  for (AskCheck& check : mail.checks) {
    with_session(check.session, [&](Session& to) { to.ask(check); });
  }
  if (mail.resume) wake_parked();
}

Session* IoThread::find(SessionId session) {
  const auto at = sessions_.find(session);
  return at == sessions_.end() ? nullptr : at->second.get();
}

void IoThread::after_events() {
  std::swap(dirty_, flushing_);
  for (const auto& session : flushing_) session->flush();
  flushing_.clear();
  if (std::exchange(core_mail_filled_, false)) {
    core_commands_ = 0;
    wiring_.core->put([&](CoreMail& mail) {
      append(mail.opened, core_mail_.opened);
      append(mail.receipts, core_mail_.receipts);
      append(mail.batches, core_mail_.batches);
      append(mail.stats, core_mail_.stats);
      append(mail.closed, core_mail_.closed);
    });
  }
  for (SessionId session : gone_) sessions_.erase(session);
  gone_.clear();
}

void IoThread::adopt(asio::ip::tcp::socket socket, std::string address,
                     std::optional<Error> refusal) {
  asio::post(context_, [this, socket = std::move(socket), address = std::move(address),
                        refusal = std::move(refusal)]() mutable {
    const SessionId id = make_session_id(++session_sequence_, number_);
    auto session = std::make_shared<Session>(*this, std::move(socket), id, std::move(address));
    sessions_.emplace(id, session);
    add(wiring_.counters->sessions, 1);
    if (finish_by_ms_ != 0) return session->close();
    if (refusal) return session->refuse(*refusal);
    session->start();
  });
}

std::future<void> IoThread::stop_reading() {
  auto done = std::make_shared<std::promise<void>>();
  auto stopped = done->get_future();
  asio::post(context_, [this, done] {
    reading_stopped_ = true;
    after_events();  // what was read goes to the core now
    done->set_value();
  });
  return stopped;
}

void IoThread::finish() {
  if (!thread_.joinable()) return;
  asio::post(context_, [this] {
    finish_by_ms_ = system_clock().boot_ms() + kFinishMs;
    for (const auto& [id, session] : sessions_) session->close_orderly();
  });
  thread_.join();
}

bool IoThread::reading_allowed() const {
  return !reading_stopped_ && !wiring_.reading_paused->load(std::memory_order_acquire);
}

void IoThread::wake_parked() {
  auto parked = std::exchange(parked_, {});
  for (const auto& session : parked) session->unpark();
}

void IoThread::sweep() {
  now_ms_ = system_clock().boot_ms();
  for (const auto& [id, session] : sessions_) session->sweep(now_ms_);
  wake_parked();
  sweep_timer_.expires_after(std::chrono::milliseconds(sweep_period_ms(wiring_.session)));
  sweep_timer_.async_wait([this](const asio::error_code& error) {
    if (!error) sweep();
  });
}

void IoThread::to_core(CommandBatch&& batch) {
  core_commands_ += batch.commands.size();
  core_mail_.batches.push_back(std::move(batch));
  core_mail_filled_ = true;
}

void IoThread::opened(SessionId session, std::string client) {
  core_mail_.opened.push_back({session, std::move(client)});
  core_mail_filled_ = true;
}

void IoThread::receipt(SessionId session, std::uint64_t challenge) {
  core_mail_.receipts.push_back({session, challenge});
  core_mail_filled_ = true;
}

void IoThread::ask_stats(SessionId session, RequestId request) {
  core_mail_.stats.push_back({session, request});
  core_mail_filled_ = true;
}

void IoThread::closed(SessionId session, bool greeted) {
  gone_.push_back(session);
  wiring_.counters->sessions.fetch_sub(1, std::memory_order_relaxed);
  if (!greeted) return;
  core_mail_.closed.push_back(session);
  core_mail_filled_ = true;
}

std::string IoThread::take_buffer() {
  if (buffers_.empty()) return {};
  std::string buffer = std::move(buffers_.back());
  buffers_.pop_back();
  return buffer;
}

void IoThread::give_buffer(std::string&& buffer) {
  if (buffer.capacity() < 64 || buffer.capacity() > kSpareBufferBytesMax ||
      buffers_.size() >= kSpareBuffers)
    return;
  buffer.clear();
  buffers_.push_back(std::move(buffer));
}

}  // namespace tally::broker
