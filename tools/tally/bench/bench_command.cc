#include <unistd.h>

#include <chrono>
#include <cmath>
#include <future>
#include <map>
#include <optional>

#include "protocol/base/limits.h"
#include "tools/tally/bench/load.h"
#include "tools/tally/bench/own_broker.h"
#include "tools/tally/command.h"

namespace tally::cli {
namespace {

using Counters = std::map<std::string, double>;

/// What the broker says of itself.
Result<Counters> read_counters(const std::string& address) {
  TALLY_TRY(Broker broker, Broker::connect(address));
  TALLY_TRY(StatsResponse stats, broker.ask<StatsResponse>(StatsRequest{}));
  Counters counters;
  for (const auto& counter : stats.values) {
    counters[counter.name] = static_cast<double>(counter.value);
  }
  return counters;
}

void draw_progress(std::uint64_t done, std::uint64_t all) {
  constexpr int kWidth = 40;
  int filled = static_cast<int>(done * kWidth / all);
  std::fprintf(stderr, "\r[%s%s] %3d %%",
               std::string(static_cast<std::size_t>(filled), '#').c_str(),
               std::string(static_cast<std::size_t>(kWidth - filled), ' ').c_str(),
               static_cast<int>(done * 100 / all));
}

/// Runs the load, with a progress bar when a person looks on.
Result<LoadResult> run_with_progress(const LoadOptions& options) {
  std::atomic<std::uint64_t> done = 0;
  if (!isatty(STDERR_FILENO)) return run_load(options, done);
  auto result = std::async(std::launch::async, [&] { return run_load(options, done); });
  while (result.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) {
    draw_progress(done, options.messages);
  }
  std::fputs("\r\x1b[K", stderr);
  return result.get();
}

const char* name_of(LoadOptions::Kind kind) {
  switch (kind) {
    case LoadOptions::Kind::kPublish:
      return "publish";
    case LoadOptions::Kind::kTransaction:
      return "transaction";
    case LoadOptions::Kind::kPrepare:
      return "prepare";
  }
  return "";
}

double ratio(double a, double b) { return b > 0 ? a / b : 0; }

Json figures(const LoadOptions& options, const LoadResult& result, const Counters& before,
             const Counters& after, double rss_bytes) {
  auto grown = [&](const std::string& name) {
    auto b = before.find(name), a = after.find(name);
    return (a == after.end() ? 0 : a->second) - (b == before.end() ? 0 : b->second);
  };
  auto count = static_cast<double>(options.messages);
  auto rounded = [](double value, double per_unit) {
    return std::round(value * per_unit) / per_unit;
  };
  const Histogram& latency = result.latency_us;
  return {
      {"work", name_of(options.kind)},
      {"messages", options.messages},
      {"size", options.size},
      {"connections", options.connections},
      {"window", options.window},
      {"refused", result.refused},
      {"seconds", result.seconds},
      {"per_second", static_cast<std::int64_t>(
                         ratio(count - static_cast<double>(result.refused), result.seconds))},
      {"latency_us",
       {{"p50", latency.quantile(0.5)},
        {"p99", latency.quantile(0.99)},
        {"p999", latency.quantile(0.999)},
        {"max", latency.max()}}},
      {"broker",
       {{"cpu_seconds_per_100k",
         rounded(ratio((grown("cpu_user_us") + grown("cpu_system_us")) / 1e6, count / 1e5), 1000)},
        {"rss_bytes", static_cast<std::uint64_t>(rss_bytes)},
        {"log_bytes_per_message", rounded(ratio(grown("log_bytes"), count), 10)},
        {"frames_per_read", rounded(ratio(grown("frames"), grown("reads")), 10)},
        {"replies_per_write", rounded(ratio(grown("replies"), grown("writes")), 10)},
        {"messages_per_sync", rounded(ratio(grown("log_records"), grown("log_syncs")), 10)}}}};
}

void print_figures(const Json& figures) {
  Table table({"FIGURE", "VALUE"});
  for (const auto& [key, value] : figures.items()) {
    if (!value.is_object()) {
      table.add({key, value.is_string() ? value.get<std::string>() : value.dump()});
      continue;
    }
    for (const auto& [inner, figure] : value.items()) table.add({key + "." + inner, figure.dump()});
  }
  table.print();
}

Result<Json> measure(const Invocation& invocation, LoadOptions options) {
  std::optional<OwnBroker> own;
  std::string folder = invocation.options["data-dir"].as<std::string>();
  if (!invocation.options.count("broker")) {
    TALLY_TRY(OwnBroker started, OwnBroker::start(folder));
    own.emplace(std::move(started));
    folder = own->folder();
  }
  options.broker = own ? own->address() : invocation.broker;
  TALLY_TRY(std::int64_t sync_us, fdatasync_4k_us(folder));
  {
    TALLY_TRY(Broker broker, Broker::connect(options.broker));
    TALLY_TRY_VOID(broker.ask<CreateTopicResponse>(CreateTopicRequest{.topic = options.topic}));
  }
  TALLY_TRY(Counters before, read_counters(options.broker));
  TALLY_TRY(LoadResult result, run_with_progress(options));
  TALLY_TRY(Counters after, read_counters(options.broker));
  Json line = figures(options, result, before, after, after["rss_bytes"]);
  line["calibration"] = {{"fdatasync_4k_us_p50", sync_us}};
  if (result.refused > 0) print_error(invocation.format, result.first_refusal);
  return line;
}

int bench(const Invocation& invocation, LoadOptions::Kind kind) {
  LoadOptions options{.kind = kind, .topic = "bench"};
  options.messages = invocation.options["messages"].as<std::uint64_t>();
  options.size = invocation.options["size"].as<std::uint32_t>();
  options.connections = invocation.options["connections"].as<std::uint32_t>();
  options.window = invocation.options["window"].as<std::uint32_t>();
  if (options.messages == 0) throw UsageError("--messages must be at least 1");
  if (options.size > limits::kBodyBytesMax) throw UsageError("--size must be at most 4194304");
  if (options.connections == 0 || options.connections > 1'000) {
    throw UsageError("--connections must be 1 to 1000");
  }
  if (options.window == 0 || options.window > limits::kWindow) {
    throw UsageError("--window must be 1 to 1024");
  }
  auto line = measure(invocation, options);
  if (!line) return invocation.fail(line.error());
  if (invocation.json()) {
    print_line(*line);
  } else {
    print_figures(*line);
  }
  return (*line)["refused"] == 0 ? kExitOk : kExitRefused;
}

void bench_options(cxxopts::OptionAdder& add) {
  add("messages", "how many in all", cxxopts::value<std::uint64_t>()->default_value("1000000"),
      "N");
  add("size", "of a body", cxxopts::value<std::uint32_t>()->default_value("1024"), "BYTES");
  add("connections", "1 to 1000", cxxopts::value<std::uint32_t>()->default_value("8"), "C");
  add("window", "requests in flight per connection",
      cxxopts::value<std::uint32_t>()->default_value("64"), "W");
  add("data-dir", "where the benchmark's own broker gets its temporary folder",
      cxxopts::value<std::string>()->default_value("/var/tmp"), "DIR");
}

}  // namespace

std::vector<Command> bench_commands() {
  return {
      {"bench publish", "",
       "Measures durable sends; starts its own broker unless --broker is given.",
       "tally bench publish --messages 1000000 --size 1024 --connections 8 --window 64 -o json",
       bench_options,
       [](const Invocation& invocation) { return bench(invocation, LoadOptions::Kind::kPublish); }},
      {"bench transaction", "",
       "Measures transactions: prepare and commit, each acknowledged after its sync.",
       "tally bench transaction --messages 200000 --connections 1 --window 1", bench_options,
       [](const Invocation& invocation) {
         return bench(invocation, LoadOptions::Kind::kTransaction);
       }},
      {"bench prepare", "", "Measures half messages; they stay pending.",
       "tally bench prepare --messages 1000000 --size 16", bench_options,
       [](const Invocation& invocation) { return bench(invocation, LoadOptions::Kind::kPrepare); }},
  };
}

}  // namespace tally::cli
