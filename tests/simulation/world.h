#pragma once
// Virtual time and what happens in it, in one thread: tasks in the order of their times, equal times in the order of asking.
//
// A Process runs tasks that die with it and wait while it is stopped. Machines have clocks of their own: the boot clock goes
// with the world, the wall clock can be stepped.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/simulation/random.h"

namespace tally::simulation {

using Task = std::function<void()>;

inline constexpr std::int64_t kMs = 1'000;  ///< in the world's microseconds

class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed) {}

  std::int64_t now_us() const { return now_us_; }
  std::int64_t now_ms() const { return now_us_ / kMs; }
  Random& random() { return random_; }

  void after(std::int64_t delay_us, Task task);
  /// Runs the next task. False: there is none at or before `until_us`; then that is the time.
  bool step(std::int64_t until_us);
  std::uint64_t steps() const { return steps_; }

  void print_trace(bool on) { tracing_ = on; }
  bool tracing() const { return tracing_; }
  /// One line of the trace; costs nothing when nobody reads it.
  template <typename... Parts>
  void trace(std::string_view who, const Parts&... parts) {
    if (!tracing_) return;
    std::string line;
    (append(line, parts), ...);
    print(who, line);
  }

 private:
  struct Event {
    std::int64_t at_us;
    std::uint64_t number;
    Task task;
    bool operator<(const Event& other) const {  // for a heap with the earliest on top
      return at_us != other.at_us ? at_us > other.at_us : number > other.number;
    }
  };
  static void append(std::string& line, std::string_view part) { line.append(part); }
  template <typename Number>
  requires std::is_arithmetic_v<Number>
  static void append(std::string& line, Number number) { line.append(std::to_string(number)); }
  void print(std::string_view who, std::string_view line) const;

  Random random_;
  std::int64_t now_us_ = 0;
  std::uint64_t numbers_ = 0;
  std::uint64_t steps_ = 0;
  std::vector<Event> events_{};
  bool tracing_ = false;
};

/// The wall clock of one machine.
struct WallClock {
  static constexpr std::int64_t kStartMs = 1'700'000'000'000;
  std::int64_t offset_ms = 0;
  std::int64_t at(const World& world) const { return kStartMs + offset_ms + world.now_ms(); }
};

class Process {
 public:
  Process(World& world, std::string name) : world_(world), name_(std::move(name)) {}
  virtual ~Process() = default;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  World& world() { return world_; }
  const World& world() const { return world_; }
  const std::string& name() const { return name_; }
  bool alive() const { return alive_; }
  bool stopped() const { return stopped_; }
  /// Of the machine's boot clock, which never steps.
  std::int64_t boot_us() const { return kBootUs + world_.now_us(); }
  std::int64_t boot_ms() const { return boot_us() / kMs; }

  /// Dropped when the process ends first; waits while it is stopped.
  void after(std::int64_t delay_us, Task task);
  /// Now, or when the process goes on.
  void run(Task task);

  /// As SIGSTOP and SIGCONT do.
  void stop();
  void go_on();

 protected:
  void begin_life() { alive_ = true, ++life_; }
  void end_life();

 private:
  static constexpr std::int64_t kBootUs = 1'000'000'000;

  World& world_;
  const std::string name_;
  bool alive_ = false;
  bool stopped_ = false;
  std::uint64_t life_ = 0;
  std::vector<Task> waiting_{};
};

}  // namespace tally::simulation
