#include "tests/simulation/world.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace tally::simulation {

void World::after(std::int64_t delay_us, Task task) {
  events_.push_back({now_us_ + std::max<std::int64_t>(delay_us, 0), ++numbers_, std::move(task)});
  std::push_heap(events_.begin(), events_.end());
}

bool World::step(std::int64_t until_us) {
  if (events_.empty() || events_.front().at_us > until_us) {
    now_us_ = std::max(now_us_, until_us);
    return false;
  }
  std::pop_heap(events_.begin(), events_.end());
  Event event = std::move(events_.back());
  events_.pop_back();
  now_us_ = event.at_us;
  ++steps_;
  event.task();
  return true;
}

void World::print(std::string_view who, std::string_view line) const {
  std::printf("%6lld.%06lld %-10.*s %.*s\n", static_cast<long long>(now_us_ / 1'000'000),
              static_cast<long long>(now_us_ % 1'000'000), static_cast<int>(who.size()), who.data(),
              static_cast<int>(line.size()), line.data());
}

void Process::after(std::int64_t delay_us, Task task) {
  world_.after(delay_us, [this, life = life_, task = std::move(task)]() mutable {
    if (!alive_ || life != life_) return;
    run(std::move(task));
  });
}

void Process::run(Task task) {
  if (!alive_) return;
  if (stopped_) return waiting_.push_back(std::move(task));
  task();
}

void Process::stop() {
  if (alive_) stopped_ = true;
}

void Process::go_on() {
  if (!stopped_) return;
  stopped_ = false;
  const std::uint64_t life = life_;
  for (Task& task : std::exchange(waiting_, {})) {
    if (!alive_ || life != life_) return;
    run(std::move(task));
  }
}

void Process::end_life() {
  alive_ = stopped_ = false;
  ++life_;
  waiting_.clear();
}

}  // namespace tally::simulation
