#include "tools/tally/broker.h"

#include <future>

namespace tally::cli {

Result<Broker> Broker::connect(const std::string& address) {
  struct First {
    std::promise<Result<HelloResponse>> result;
    bool told = false;  // the network thread's
    void tell(Result<HelloResponse> value) {
      if (!std::exchange(told, true)) result.set_value(std::move(value));
    }
  };
  auto first = std::make_shared<First>();
  auto answer = first->result.get_future();

  net::ClientOptions options;
  options.broker = address;
  options.reconnect = false;
  options.hello.client = "tally";
  options.hello.software = "tally " TALLY_VERSION;
  net::Client::Callbacks callbacks;
  callbacks.on_connected = [first](const HelloResponse& hello) { first->tell(hello); };
  callbacks.on_disconnected = [first](const Error& error) { first->tell(error); };
  TALLY_TRY(auto client, net::Client::start(std::move(options), std::move(callbacks)));
  TALLY_TRY(HelloResponse hello, answer.get());
  return Broker(std::move(client), std::move(hello));
}

}  // namespace tally::cli
