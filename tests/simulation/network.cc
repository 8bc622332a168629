#include "tests/simulation/network.h"

#include <algorithm>

namespace tally::simulation {

std::int64_t Network::delay_us() {
  std::int64_t delay = random_.between(20, 300);
  if (random_.chance(faults_.slow)) delay += random_.between(0, faults_.slow_us);
  if (random_.chance(faults_.stall)) delay += random_.between(0, faults_.stall_us);
  return delay;
}

Network::Connection Network::connect(Client& client, Listener& listener) {
  const Connection connection = ++newest_;
  states_[connection].ends[0].party = &client;
  world_.after(delay_us(),
               [this, connection, &client, &listener] { open(connection, client, listener); });
  return connection;
}

void Network::open(Connection connection, Client& client, Listener& listener) {
  const auto found = states_.find(connection);
  if (found == states_.end()) return;  // the client has gone meanwhile
  State& state = found->second;
  if (!listener.accept(connection, client)) {
    put(connection, state.ends[0], {}, world_.now_us() + delay_us());
    return;
  }
  state.ends[1].party = &listener;
  world_.after(delay_us(), [this, connection, &client] {
    const auto at = states_.find(connection);
    if (at != states_.end() && at->second.ends[0].party != nullptr) client.connected(connection);
  });
}

void Network::send(Connection connection, const Party& from, std::string bytes) {
  const auto found = states_.find(connection);
  if (found == states_.end()) return;
  State& state = found->second;
  const std::size_t side = state.ends[0].party == &from ? 0 : 1;
  if (state.ends[side].party != &from) return;
  if (state.is_cut) {
    // Somebody on the way may say so.
    if (random_.one_in(4)) put(connection, state.ends[side], {}, world_.now_us() + delay_us());
    return;
  }
  put(connection, state.ends[1 - side], std::move(bytes), world_.now_us() + delay_us());
  if (random_.chance(faults_.cut)) cut(connection, state);
}

void Network::put(Connection connection, End& to, std::string bytes, std::int64_t at_us) {
  if (to.party == nullptr) return;
  to.last_us = std::max(to.last_us, at_us);
  to.incoming.push_back({to.last_us, std::move(bytes)});
  arm(connection, to);
}

void Network::arm(Connection connection, End& end) {
  if (end.armed || end.incoming.empty()) return;
  end.armed = true;
  const std::size_t side = &end == &states_.at(connection).ends[0] ? 0 : 1;
  world_.after(end.incoming.front().at_us - world_.now_us(),
               [this, connection, side] { deliver(connection, side); });
}

void Network::deliver(Connection connection, std::size_t side) {
  const auto found = states_.find(connection);
  if (found == states_.end()) return;
  found->second.ends[side].armed = false;
  while (true) {
    const auto at = states_.find(connection);
    if (at == states_.end()) return;
    End& end = at->second.ends[side];
    if (end.party == nullptr || end.incoming.empty()) return;
    if (end.incoming.front().at_us > world_.now_us()) return arm(connection, end);
    const Chunk chunk = std::move(end.incoming.front());
    end.incoming.pop_front();
    Party& party = *end.party;
    if (!chunk.bytes.empty()) {
      party.received(connection, chunk.bytes);
      continue;
    }
    end.party = nullptr;
    end.incoming.clear();
    forget_if_over(connection);
    return party.closed(connection);
  }
}

void Network::close(Connection connection, const Party& by) {
  const auto found = states_.find(connection);
  if (found == states_.end()) return;
  State& state = found->second;
  const std::size_t side = state.ends[0].party == &by ? 0 : 1;
  if (state.ends[side].party != &by) return;
  state.ends[side].party = nullptr;
  state.ends[side].incoming.clear();
  if (!state.is_cut) put(connection, state.ends[1 - side], {}, world_.now_us() + delay_us());
  state.is_cut = true;
  forget_if_over(connection);
}

void Network::vanish(Connection connection, const Party& from) {
  const auto found = states_.find(connection);
  if (found == states_.end()) return;
  found->second.is_cut = true;
  close(connection, from);
}

void Network::forget_if_over(Connection connection) {
  const State& state = states_.at(connection);
  if (state.ends[0].party == nullptr && state.ends[1].party == nullptr) states_.erase(connection);
}

// --- how a connection breaks ---

void Network::cut(Connection connection, State& state) {
  state.is_cut = true;
  auto& [client, listener] = state.ends;
  const std::int64_t soon = world_.now_us() + delay_us();
  switch (random_.below(4)) {
    case 0:  // both learn of it at once
      lose_some(client);
      lose_some(listener);
      put(connection, client, {}, soon);
      put(connection, listener, {}, soon);
      break;
    case 1:
      cut_late(connection, state);
      break;
    case 2:  // the broker learns of it, the client much later
      lose_some(listener);
      put(connection, listener, {}, soon);
      postpone(client);
      put(connection, client, {}, client.last_us + delay_us());
      break;
    default:  // half-open: nobody learns of it but by silence
      lose_some(client);
      lose_some(listener);
      break;
  }
  world_.trace("network", "connection ", connection, " is cut");
}

void Network::cut_late(Connection connection, State& state) {
  state.is_cut = true;
  auto& [client, listener] = state.ends;
  client.incoming.clear();
  client.last_us = 0;
  put(connection, client, {}, world_.now_us() + delay_us());
  postpone(listener);
  put(connection, listener, {}, listener.last_us + delay_us());
}

void Network::give_up_late(Connection connection) {
  const auto found = states_.find(connection);
  if (found != states_.end() && !found->second.is_cut) cut_late(connection, found->second);
}

void Network::lose_some(End& end) {
  end.incoming.resize(random_.below(end.incoming.size() + 1));
  end.last_us = end.incoming.empty() ? 0 : end.incoming.back().at_us;
}

void Network::postpone(End& end) {
  const std::int64_t late_us = random_.between(0, faults_.late_us);
  for (Chunk& chunk : end.incoming) chunk.at_us += late_us;
  end.last_us = std::max(end.last_us, world_.now_us()) + late_us;
}

}  // namespace tally::simulation
