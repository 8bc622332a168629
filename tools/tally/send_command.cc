#include <condition_variable>
#include <iostream>
#include <mutex>

#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/base/message_block.h"
#include "tools/tally/command.h"

namespace tally::cli {
namespace {

/// Sends messages with a window, and prints a line for each as soon as its answer is there.
class Pipeline {
 public:
  Pipeline(const Invocation& invocation, Broker& broker, Message prototype, std::uint32_t window)
      : invocation_(invocation), broker_(broker), message_(std::move(prototype)), window_(window) {}

  /// Waits for room in the window. False when the broker is gone and nothing more can be sent.
  bool send(std::uint64_t line, std::string body) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return in_flight_ < window_ || gone_; });
      if (gone_) return false;
      ++in_flight_;
    }
    message_.body = std::move(body);
    block_.clear();
    auto appended = append_message_block(message_, system_clock().wall_ms(), block_);
    if (!appended) {
      finish(line, appended.error());
      return true;
    }
    broker_.client().ask(SendRequest{.topic = message_.topic}, block_, Broker::kTimeoutMs,
                         [this, line](Result<net::Answer>&& answer) {
                           if (answer) {
                             finish(line, std::get<SendResponse>(answer->response));
                           } else {
                             finish(line, answer.error());
                           }
                         });
    return true;
  }

  /// Waits for the rest; the exit code.
  int drain() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return in_flight_ == 0; });
    return exit_;
  }

 private:
  void finish(std::uint64_t line, const Result<SendResponse>& result) {
    std::lock_guard lock(mutex_);
    if (result) {
      print(line, *result);
    } else {
      print_error(invocation_.format, result.error(), Json{{"line", line}});
      Exit code = exit_code(result.error());
      gone_ = gone_ || code == kExitUnreachable;
      exit_ = std::max<int>(exit_, code);
    }
    --in_flight_;
    changed_.notify_all();
  }

  void print(std::uint64_t line, const SendResponse& sent) {
    std::string id = broker_.uid(sent.lsn).to_string();
    if (invocation_.json()) {
      print_line({{"line", line},
                  {"id", std::move(id)},
                  {"queue", sent.queue.value},
                  {"offset", sent.offset.value}});
    } else {
      std::printf("%llu  %s  queue %u  offset %llu\n", static_cast<unsigned long long>(line),
                  id.c_str(), sent.queue.value, static_cast<unsigned long long>(sent.offset.value));
      std::fflush(stdout);
    }
  }

  const Invocation& invocation_;
  Broker& broker_;
  Message message_;
  std::string block_;
  const std::uint32_t window_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint32_t in_flight_ = 0;
  bool gone_ = false;
  int exit_ = kExitOk;
};

int send(const Invocation& invocation) {
  if (!invocation.options.count("topic")) throw UsageError("--topic is missing");
  std::uint32_t window = invocation.options["window"].as<std::uint32_t>();
  if (window == 0 || window > limits::kWindow) {
    throw UsageError("--window must be 1 to " + std::to_string(limits::kWindow));
  }
  auto broker = Broker::connect(invocation.broker);
  if (!broker) return invocation.fail(broker.error());
  Message message;
  message.topic = invocation.text("topic");
  message.key = invocation.text("key");
  message.tag = invocation.text("tag");
  Pipeline pipeline(invocation, *broker, std::move(message), window);
  if (invocation.options.count("body")) {
    pipeline.send(1, invocation.text("body"));
    return pipeline.drain();
  }
  std::ios::sync_with_stdio(false);
  std::uint64_t line = 0;
  for (std::string body; std::getline(std::cin, body);) {
    if (!pipeline.send(++line, std::move(body))) break;
  }
  return pipeline.drain();
}

}  // namespace

std::vector<Command> send_commands() {
  return {{"send", "", "Sends one message, or one per line of standard input, pipelined.",
           "tally send --topic orders --key 42 --body '{\"id\":42}'\n"
           "tally send --topic orders --window 64 -o json < lines.txt",
           [](cxxopts::OptionAdder& add) {
             add("topic", "where to (required)", cxxopts::value<std::string>(), "NAME");
             add("key", "messages of a key go to one queue", cxxopts::value<std::string>(), "TEXT");
             add("tag", "for filters", cxxopts::value<std::string>(), "TEXT");
             add("body", "one message; without it each line of standard input is one",
                 cxxopts::value<std::string>(), "TEXT");
             add("window", "messages in flight, 1 to 1024",
                 cxxopts::value<std::uint32_t>()->default_value("64"), "N");
           },
           send}};
}

}  // namespace tally::cli
