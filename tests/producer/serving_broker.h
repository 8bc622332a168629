#pragma once
// A broker in the hands of a test: it answers everything as a broker would that knows no topics, keeps what it was asked,
// and does for chosen requests what the test says. One connection at a time.
//
// Declare it before the producer: it ends when its client has hung up.

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "tests/net/scripted_broker.h"

namespace tally::testing {

struct HangUpBefore {};  ///< the request is lost
struct HangUpAfter {};   ///< the request has taken effect, its answer is lost
struct Silence {};       ///< no answer
using Reaction = std::variant<std::monostate, HangUpBefore, HangUpAfter, Silence, Error>;

class ServingBroker {
 public:
  using Script = std::function<Reaction(const Request&)>;
  explicit ServingBroker(Script script = {});
  ~ServingBroker();

  std::string address() const { return broker_.address(); }
  /// Waits until `count` requests of this kind came, and gives them.
  template <typename T>
  std::vector<T> wait_for(std::size_t count = 1) {
    std::unique_lock lock(mutex_);
    std::vector<T> found;
    const bool there = came_.wait_for(lock, std::chrono::seconds(20), [&] {
      found.clear();
      for (const Request& request : requests_) {
        if (const T* one = std::get_if<T>(&request)) found.push_back(*one);
      }
      return found.size() >= count;
    });
    if (!there) throw std::runtime_error("the request did not come within the deadline");
    return found;
  }
  template <typename T>
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(
        std::count_if(requests_.begin(), requests_.end(),
                      [](const Request& request) { return std::holds_alternative<T>(request); }));
  }
  void set_state(const std::string& transaction, TransactionState state);
  Handle handle_of(const std::string& transaction);
  /// Asks the client; wait_for<AnswerCheckRequest>() has its answer.
  void ask_check(CheckRequest check);

 private:
  void serve();
  bool serve_one(net::ScriptedConnection& connection, const net::ScriptedConnection::Asked& asked);
  Response answer_to(const Request& request);

  const Script script_;
  net::ScriptedBroker broker_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<Request> requests_;
  std::map<std::string, TransactionInfo> transactions_;
  net::ScriptedConnection* connection_ = nullptr;  ///< under mutex_, when it may be written to
  std::uint64_t last_lsn_ = 0;
  std::thread thread_;
};

}  // namespace tally::testing
