#pragma once
// What the core knows about connected clients. All of it is volatile.

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/core/topics.h"
#include "broker/core/transactions.h"

namespace tally::broker {

struct Session {
  std::string client{};
  std::vector<Subscription*> subscriptions{};  ///< received from
  std::vector<Transaction*> asked{};           ///< checks outstanding at this session
  struct Registration {
    std::string group{};
    std::vector<StoreId> stores{};
  };
  std::vector<Registration> registrations{};
};

using Sessions = std::unordered_map<SessionId, Session>;

inline std::string_view client_of(const Sessions& sessions, SessionId id) {
  const auto found = sessions.find(id);
  return found == sessions.end() ? std::string_view{} : std::string_view(found->second.client);
}

}  // namespace tally::broker
