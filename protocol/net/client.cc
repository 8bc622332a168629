#include "protocol/net/client.h"

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <future>
#include <limits>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "protocol/base/check.h"
#include "protocol/base/clock.h"
#include "protocol/base/random.h"
#include "protocol/net/read_buffer.h"
#include "protocol/net/request_channel.h"

namespace tally::net {

namespace {
using asio::ip::tcp;
constexpr std::int64_t kBackoffMsMin = 50;
constexpr std::int64_t kBackoffMsMax = 5'000;
constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
}  // namespace

// The socket, timers and thread around a RequestChannel.
//
// Every entry into the network thread is one batch(): the clock is read once, the work is done, then what came of it is written
// once. An attempt at a connection has a number, epoch_; a handler of an older one does nothing.
class Client::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(asio::io_context& io, ClientOptions options, Callbacks callbacks, Address address)
      : options_(std::move(options)),
        address_(std::move(address)),
        io_(io),
        now_us_(system_clock().boot_us()),
        channel_(options_, std::move(callbacks), now_us_) {}

  void start() {
    post([this] { attempt(); });
  }

  /// Handlers that are still on their way find it stopped, and hold the object until then.
  void stop_and_wait() {
    TALLY_CHECK(!on_network_thread());
    std::promise<void> stopped;
    asio::post(io_, [this, &stopped] {
      stop();
      stopped.set_value();
    });
    stopped.get_future().wait();
  }

  void ask(Request&& request, std::string_view block, std::int64_t timeout_ms,
           AnswerCallback&& callback) {
    if (on_network_thread()) {
      auto straight_in = [&] {
        channel_.ask(request, block, timeout_ms, std::move(callback), now_us_);
      };
      return in_batch_ ? straight_in() : batch(straight_in);
    }
    bool wake = false;
    {
      const std::lock_guard lock(mutex_);
      wake = mailbox_.empty();
      if (mailbox_.asked.size() >= options_.requests_max ||
          mailbox_.blocks.size() + block.size() > options_.write_bytes_max) {
        mailbox_.refused.push_back(std::move(callback));
      } else {
        mailbox_.blocks.append(block);
        mailbox_.asked.push_back(
            {std::move(request), block.size(), timeout_ms, std::move(callback)});
      }
    }
    if (wake) post([this] { drain_mailbox(); });
  }

  void post(std::function<void()>&& task) {
    asio::post(io_, [this, self = shared_from_this(), task = std::move(task)] { batch(task); });
  }

  void post_after(std::int64_t delay_ms, std::function<void()>&& task) {
    auto timer = std::make_shared<asio::steady_timer>(io_, std::chrono::milliseconds(delay_ms));
    timer->async_wait(
        [this, self = shared_from_this(), timer, task = std::move(task)](std::error_code error) {
          if (!error) batch(task);
        });
  }

 private:
  struct Asked {
    Request request{};
    std::size_t block_bytes = 0;
    std::int64_t timeout_ms = 0;
    AnswerCallback callback{};
  };
  /// What other threads asked: the blocks stand one after the other.
  struct Mailbox {
    std::vector<Asked> asked{};
    std::string blocks{};
    std::vector<AnswerCallback> refused{};
    bool empty() const { return asked.empty() && refused.empty(); }
  };

  bool on_network_thread() { return io_.get_executor().running_in_this_thread(); }

  template <typename Work>
  void batch(Work&& work) {
    if (stopped_) return;
    in_batch_ = true;
    now_us_ = system_clock().boot_us();
    work();
    channel_.deliver_refusals();
    do {  // the callback of a request that start_write() refused may ask again
      if (const std::string_view bytes = channel_.start_write(); !bytes.empty()) write(bytes);
    } while (channel_.deliver_refusals());
    arm_tick();
    in_batch_ = false;
  }

  void drain_mailbox() {
    {
      const std::lock_guard lock(mutex_);
      std::swap(mailbox_, drained_);
    }
    std::size_t at = 0;
    for (Asked& asked : drained_.asked) {
      const std::string_view block =
          std::string_view(drained_.blocks).substr(at, asked.block_bytes);
      at += asked.block_bytes;
      channel_.ask(asked.request, block, asked.timeout_ms, std::move(asked.callback), now_us_);
    }
    for (AnswerCallback& callback : drained_.refused) {
      channel_.refuse(std::move(callback),
                      Error(ErrorCode::kOverloaded, "too much is asked at once"));
    }
    drained_.asked.clear();
    clear_buffer(drained_.blocks);
    drained_.refused.clear();
  }

  void attempt() {
    ++epoch_;
    attempt_timer_.expires_after(std::chrono::milliseconds(options_.connect_ms));
    attempt_timer_.async_wait(
        [this, self = shared_from_this(), epoch = epoch_](std::error_code error) {
          if (error || epoch != epoch_) return;
          const std::string limit = std::to_string(options_.connect_ms);
          batch([&] { lost(unreachable("no answer to Hello within " + limit + " ms")); });
        });
    std::error_code not_an_address;
    const auto address = asio::ip::make_address(address_.host, not_an_address);
    if (!not_an_address) {
      endpoints_ = {tcp::endpoint(address, address_.port)};
      return connect(0);
    }
    resolver_.async_resolve(address_.host, std::to_string(address_.port),
                            [this, self = shared_from_this(), epoch = epoch_](
                                std::error_code error, const tcp::resolver::results_type& found) {
                              if (epoch != epoch_) return;
                              batch([&] {
                                if (error) return lost(unreachable(error.message()));
                                endpoints_.clear();
                                for (const auto& entry : found)
                                  endpoints_.push_back(entry.endpoint());
                                connect(0);
                              });
                            });
  }

  void connect(std::size_t which) {
    socket_.async_connect(endpoints_[which], [this, self = shared_from_this(), which,
                                              epoch = epoch_](std::error_code error) {
      if (epoch != epoch_) return;
      batch([&] {
        if (!error) return established();
        if (which + 1 == endpoints_.size()) return lost(unreachable(error.message()));
        std::error_code ignored;
        socket_.close(ignored);
        connect(which + 1);
      });
    });
  }

  void established() {
    std::error_code ignored;  // slower without, not wrong
    socket_.set_option(tcp::no_delay(true), ignored);
    read_buffer_.clear();
    channel_.connected(now_us_);
    read();
  }

  void read() {
    socket_.async_read_some(asio::buffer(read_buffer_.tail(), read_buffer_.room()),
                            [this, self = shared_from_this(), epoch = epoch_](std::error_code error,
                                                                              std::size_t bytes) {
                              if (epoch != epoch_) return;
                              batch([&] { served(error, bytes); });
                            });
  }

  void served(std::error_code error, std::size_t bytes) {
    if (error) return lost(broken(error));
    read_buffer_.filled(bytes);
    const bool was_ready = channel_.ready();
    const auto received = channel_.received(read_buffer_.bytes(), now_us_);
    if (!received) return lost(received.error());
    if (!was_ready && channel_.ready()) {
      attempt_timer_.cancel();
      backoff_ms_ = kBackoffMsMin;
    }
    read_buffer_.consumed(received->consumed, received->needed);
    read();
  }

  void write(std::string_view bytes) {
    socket_.async_write_some(asio::buffer(bytes),
                             [this, self = shared_from_this(), bytes, epoch = epoch_](
                                 std::error_code error, std::size_t done) {
                               if (epoch != epoch_) return;
                               if (!error && done < bytes.size()) return write(bytes.substr(done));
                               batch([&] { error ? lost(broken(error)) : channel_.written(); });
                             });
  }

  Error unreachable(const std::string& why) const {
    return {ErrorCode::kUnreachable, options_.broker + ": " + why};
  }

  /// Before Hello was granted, the broker was not reached.
  Error broken(std::error_code error) const {
    if (!channel_.ready()) return unreachable(error.message());
    return {ErrorCode::kDisconnected, options_.broker + ": " + error.message()};
  }

  void lost(const Error& why) {
    end_connection();
    channel_.disconnected(why);
    if (!options_.reconnect) return channel_.give_up(why);
    const std::int64_t half_ms = backoff_ms_ / 2;
    const auto jitter_ms =
        static_cast<std::int64_t>(random_u64() % static_cast<std::uint64_t>(half_ms));
    backoff_ms_ = std::min(backoff_ms_ * 2, kBackoffMsMax);
    attempt_timer_.expires_after(std::chrono::milliseconds(half_ms + jitter_ms));
    attempt_timer_.async_wait(
        [this, self = shared_from_this(), epoch = epoch_](std::error_code error) {
          if (!error && epoch == epoch_) batch([this] { attempt(); });
        });
  }

  void end_connection() {
    ++epoch_;
    std::error_code ignored;
    socket_.close(ignored);
    resolver_.cancel();
  }

  /// One timer for all deadlines, moved only to an earlier time: a call that comes too early does no harm.
  void arm_tick() {
    const std::int64_t next_us = channel_.next_tick_us();
    if (next_us >= armed_us_) return;
    armed_us_ = next_us;
    tick_timer_.expires_after(
        std::chrono::microseconds(std::max<std::int64_t>(next_us - now_us_, 0)));
    tick_timer_.async_wait([this, self = shared_from_this()](std::error_code error) {
      if (error) return;
      armed_us_ = kNever;
      batch([this] {
        if (const auto alive = channel_.tick(now_us_); !alive) lost(alive.error());
      });
    });
  }

  void stop() {
    in_batch_ = true;  // what callbacks ask now goes straight into the closing channel
    now_us_ = system_clock().boot_us();
    end_connection();
    drain_mailbox();
    channel_.close();
    attempt_timer_.cancel();
    tick_timer_.cancel();
    stopped_ = true;
  }

  const ClientOptions options_;
  const Address address_;
  asio::io_context& io_;
  std::mutex mutex_{};
  Mailbox mailbox_{};  // under mutex_

  // Of the network thread alone:
  Mailbox drained_{};
  tcp::socket socket_{io_};
  tcp::resolver resolver_{io_};
  asio::steady_timer attempt_timer_{io_};  // the limit of an attempt, or the pause before the next
  asio::steady_timer tick_timer_{io_};
  std::int64_t armed_us_ = kNever;
  std::vector<tcp::endpoint> endpoints_{};
  ReadBuffer read_buffer_{};
  std::uint64_t epoch_ = 0;
  std::int64_t backoff_ms_ = kBackoffMsMin;
  std::int64_t now_us_;
  RequestChannel channel_;
  bool in_batch_ = false;
  bool stopped_ = false;
};

struct Loop::State {
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  std::thread thread{[this] { io.run(); }};

  ~State() {
    TALLY_CHECK(!io.get_executor().running_in_this_thread());
    io.stop();
    thread.join();
  }
};

Loop::Loop() : state_(std::make_unique<State>()) {}
Loop::~Loop() = default;

Result<std::unique_ptr<Client>> Client::start(ClientOptions options, Callbacks callbacks) {
  TALLY_TRY(Address address, parse_address(options.broker));
  if (address.port == 0 || options.connect_ms <= 0) {
    return Error(ErrorCode::kInvalidArgument, "a client needs a port and time to connect");
  }
  try {
    auto loop = options.loop ? std::move(options.loop) : std::make_shared<Loop>();
    auto connection = std::make_shared<Connection>(loop->state_->io, std::move(options),
                                                   std::move(callbacks), std::move(address));
    connection->start();
    return std::unique_ptr<Client>(new Client(std::move(loop), std::move(connection)));
  } catch (const std::system_error& error) {
    return Error(ErrorCode::kOverloaded,
                 std::string("the machine gives no thread or descriptor: ") + error.what());
  }
}

Client::Client(std::shared_ptr<Loop> loop, std::shared_ptr<Connection> connection)
    : loop_(std::move(loop)), connection_(std::move(connection)) {}

Client::~Client() { connection_->stop_and_wait(); }

void Client::ask(Request request, std::string_view block, std::int64_t timeout_ms,
                 AnswerCallback callback) {
  connection_->ask(std::move(request), block, timeout_ms, std::move(callback));
}

void Client::post(std::function<void()> task) { connection_->post(std::move(task)); }

void Client::post_after(std::int64_t delay_ms, std::function<void()> task) {
  connection_->post_after(delay_ms, std::move(task));
}

Result<OwnedAnswer> ask_and_wait(Client& client, Request request, std::string_view block,
                                 std::int64_t timeout_ms) {
  // Shared: the waiter may be gone before set_value() has returned.
  auto promise = std::make_shared<std::promise<Result<OwnedAnswer>>>();
  auto answer = promise->get_future();
  client.ask(std::move(request), block, timeout_ms, [promise](Result<Answer>&& result) {
    if (result) {
      promise->set_value(OwnedAnswer{std::move(result->response), std::string(result->payload)});
    } else {
      promise->set_value(std::move(result).error());
    }
  });
  return answer.get();
}

}  // namespace tally::net
