#include "broker/core/context.h"

namespace tally::broker {

void Context::answer(const Waiter& waiter, Response&& response) {
  if (waiter.session.value == 0) return;
  effects.replies.push_back({waiter.session, waiter.request, waiter.kind, std::move(response)});
}

void Context::answer(const Waiter& waiter, Error error) {
  if (waiter.session.value == 0) return;
  effects.replies.push_back({waiter.session, waiter.request, waiter.kind, std::move(error)});
}

void Context::refuse(const Waiter& waiter, ErrorCode code, std::string message) {
  answer(waiter, Error(code, std::move(message)));
}

bool Context::has_room(const Waiter& waiter) {
  const bool no_segment = space != store::Space::kEnough;
  if (!no_segment && full.empty()) return true;
  ++counters.disk_full;
  refuse(waiter, ErrorCode::kDiskFull,
         no_segment ? "the disk has no room for another segment of the log" : full);
  return false;
}

bool Context::takes_messages(const Waiter& waiter) {
  if (draining) {
    refuse(waiter, ErrorCode::kShuttingDown, "the broker is stopping");
    return false;
  }
  if (!has_room(waiter)) return false;
  if (proposals.bytes_in_flight() >= options.log_bytes_in_flight_max ||
      checkpoint.lag_bytes() >= options.checkpoint_lag_bytes_max) {
    ++counters.overloaded;
    refuse(waiter, ErrorCode::kOverloaded, "the broker has more to write than its limits allow");
    return false;
  }
  return true;
}

}  // namespace tally::broker
