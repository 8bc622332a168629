#pragma once
// A command's connection to the broker.

#include <memory>
#include <string>
#include <tally/result.hpp>

#include "protocol/net/client.h"

namespace tally::cli {

/// Connects and waits for the answer to Hello; a first failure is final, so a broker that is not there is reported at once.
class Broker {
 public:
  static Result<Broker> connect(const std::string& address);

  const HelloResponse& hello() const { return hello_; }
  net::Client& client() { return *client_; }
  MessageUid uid(Lsn lsn) const { return {hello_.log, lsn}; }

  /// Asks and waits. The answer is of type `Response`, its payload left out.
  template <typename Response>
  Result<Response> ask(Request request, std::string_view block = {}) {
    TALLY_TRY(net::OwnedAnswer answer,
              net::ask_and_wait(*client_, std::move(request), block, kTimeoutMs));
    return std::get<Response>(std::move(answer.response));
  }

  static constexpr std::int64_t kTimeoutMs = 30'000;

 private:
  Broker(std::unique_ptr<net::Client> client, HelloResponse hello)
      : client_(std::move(client)), hello_(std::move(hello)) {}
  std::unique_ptr<net::Client> client_;
  HelloResponse hello_;
};

}  // namespace tally::cli
