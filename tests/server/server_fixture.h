#pragma once
// A broker in this process, on a free port and an empty folder of its own.

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>

#include "broker/server/server.h"
#include "tests/server/raw_client.h"
#include "tests/support/temporary_folder.h"

namespace tally::testing {

class TestBroker {
 public:
  explicit TestBroker(broker::Settings changed = {}, broker::SessionLimits limits = {},
                      store::FileSystem& log_files = store::real_file_system())
      : settings(std::move(changed)), session_limits(limits), files(log_files) {
    spdlog::set_level(spdlog::level::off);
    settings.listen = "127.0.0.1:0";
    settings.data_dir = folder.path();
    settings.segment_bytes = limits::kSegmentBytesMin;
    std::filesystem::create_directories(folder.file("0"));  // the index is on the real disk
    start();
  }
  void start() { server = broker::Server::start(settings, session_limits, files).value(); }
  void stop() { server.reset(); }
  void restart() { stop(), start(); }
  const std::string& address() const { return server->address(); }
  /// The files of the log.
  std::vector<std::string> segments() const {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder.file("0/log"))) {
      if (entry.path().extension() == ".log") paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  }

  TemporaryFolder folder;
  broker::Settings settings;
  broker::SessionLimits session_limits;
  store::FileSystem& files;
  std::unique_ptr<broker::Server> server;
};

/// A client that has said Hello, and a topic.
class GreetedClient : public RawClient {
 public:
  explicit GreetedClient(const TestBroker& broker, std::uint32_t window = 0)
      : RawClient(broker.address()) {
    hello_response = hello(window);
  }
  HelloResponse hello_response;
};

inline void create_topic(RawClient& client, const std::string& topic, std::uint32_t queues = 1) {
  CreateTopicRequest request;
  request.topic = topic;
  request.queues = queues;
  client.get<CreateTopicResponse>(request);
}

inline SendRequest send_to(const std::string& topic) {
  SendRequest request;
  request.topic = topic;
  return request;
}

inline PrepareRequest prepare_for(const std::string& topic, const std::string& transaction) {
  PrepareRequest request;
  request.topic = topic;
  request.transaction = transaction;
  request.group = "makers";
  return request;
}

inline EndRequest end_of(const std::string& transaction, Decision decision, const Handle& handle) {
  EndRequest request;
  request.transaction = transaction;
  request.group = "makers";
  request.decision = decision;
  request.handle = handle;
  request.messages = 1;
  return request;
}

inline ReceiveRequest receive_from(const std::string& topic, std::int64_t wait_ms = 10'000) {
  ReceiveRequest request;
  request.topic = topic;
  request.group = "readers";
  request.messages_max = 100;
  request.wait_ms = wait_ms;
  return request;
}

}  // namespace tally::testing
