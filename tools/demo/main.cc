// demo: keeps two databases in step while processes are killed; with --naive, shows how money is lost without the barrier.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cxxopts.hpp>
#include <mutex>
#include <sstream>

#include "tools/demo/bank_run.h"
#include "tools/demo/naive_a.h"
#include "tools/demo/service.h"

namespace tally::demo {

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

void die() {
  raise(SIGKILL);
  std::abort();
}

namespace {

constexpr TransferId kTransfers = 2'000;
constexpr TransferId kNaiveTransfers = 300;
constexpr std::chrono::seconds kSettleLimit{40};
constexpr int kKillsOfAMin = 10, kKillsOfBMin = 3, kKillsOfBrokerMin = 3;

void print_row(const char* label, std::int64_t value) {
  std::printf("  %-22s %12lld\n", label, static_cast<long long>(value));
}

int run_demo(std::uint64_t seed) {
  std::printf(
      "Service A moves money out of its database and sends a message, in one transaction; service "
      "B "
      "books it in.\nWhile %u transfers run, A, B and the broker are killed with SIGKILL (seed "
      "%llu).\n",
      kTransfers, static_cast<unsigned long long>(seed));
  BankRun run(
      {.service = "service-a", .transfers = kTransfers, .plan = make_plan(seed, kTransfers)});
  const std::int64_t before = run.books_a().money + run.books_b().money;
  if (auto done = run.run(); !done) {
    std::printf("failed: %s\n", to_string(done.error()).c_str());
    return 1;
  }
  const bool settled = run.settle(kSettleLimit);
  const Tallies tallies = run.tallies();
  const Books a = run.books_a(), b = run.books_b();
  print_row("committed", static_cast<std::int64_t>(tallies.committed));
  print_row("rolled back", static_cast<std::int64_t>(tallies.rolled_back));
  print_row("decided by check-back", static_cast<std::int64_t>(tallies.by_check));
  print_row("redelivered", static_cast<std::int64_t>(run.redelivered()));
  print_row("in doubt", static_cast<std::int64_t>(tallies.in_doubt));
  print_row("kills of service A", run.kills_of_a());
  print_row("kills of service B", run.kills_of_b());
  print_row("kills of tallyd", run.kills_of_broker());
  print_row("money before", before);
  print_row("money after", a.money + b.money);
  const bool conserved = settled && a.money + b.money == before && a.transfers == b.transfers &&
                         a.transfers == static_cast<std::int64_t>(tallies.committed);
  const bool tried_hard = tallies.by_check > 0 && run.redelivered() > 0 &&
                          run.kills_of_a() >= kKillsOfAMin && run.kills_of_b() >= kKillsOfBMin &&
                          run.kills_of_broker() >= kKillsOfBrokerMin;
  if (!conserved) return std::printf("money NOT conserved\n"), 1;
  std::printf("money conserved\n");
  if (!tried_hard) return std::printf("but not enough was killed, checked or redelivered\n"), 1;
  return 0;
}

/// Lets service A go on when the check of the transfer at which it stopped was answered, whichever comes first.
class Stops {
 public:
  void stopped(TransferId id, BankRun& run) { meet(id, stopped_, answered_, run); }
  void answered(TransferId id, BankRun& run) { meet(id, answered_, stopped_, run); }

 private:
  void meet(TransferId id, std::set<TransferId>& mine, std::set<TransferId>& other, BankRun& run) {
    std::lock_guard lock(mutex_);
    mine.insert(id);
    if (other.contains(id)) run.continue_a();
  }
  std::mutex mutex_;
  std::set<TransferId> stopped_, answered_;
};

int run_naive(std::uint64_t seed) {
  std::printf(
      "The same with a producer that answers a check by looking for the row: no row, ROLLBACK.\n"
      "Service A is stopped between insert and commit until a check was answered (seed %llu).\n",
      static_cast<unsigned long long>(seed));
  Plan plan = make_plan(seed, kNaiveTransfers);
  Stops stops;
  BankRun* current = nullptr;
  BankRun run({.service = "naive-a",
               .transfers = kNaiveTransfers,
               .plan = {.stops_of_a = plan.stops_of_a},
               .on_stopping = [&](TransferId id) { stops.stopped(id, *current); }});
  current = &run;
  NaiveChecker checker(run.broker(), run.database_a(),
                       [&](TransferId id) { stops.answered(id, run); });
  const std::int64_t before = run.books_a().money + run.books_b().money;
  if (auto done = run.run(); !done) {
    std::printf("failed: %s\n", to_string(done.error()).c_str());
    return 1;
  }
  run.settle(kSettleLimit);
  const Books a = run.books_a(), b = run.books_b();
  print_row("taken out, transfers", a.transfers);
  print_row("booked in, transfers", b.transfers);
  print_row("money before", before);
  print_row("money after", a.money + b.money);
  std::printf("money lost: %lld\n", static_cast<long long>(before - a.money - b.money));
  return before > a.money + b.money ? 0 : 1;
}

/// "5,9" or "5:before-insert,9:after-end".
Plan parse_deaths(const std::string& service, const std::string& text) {
  Plan plan;
  std::istringstream items(text);
  for (std::string item; std::getline(items, item, ',');) {
    auto id = static_cast<TransferId>(std::stoul(item));
    if (service == "service-b") plan.deaths_of_b.insert(id);
    if (service == "naive-a") plan.stops_of_a.insert(id);
    if (service == "service-a") {
      plan.deaths_of_a.emplace(id, step_from_name(item.substr(item.find(':') + 1)).value());
    }
  }
  return plan;
}

int run_service(const std::string& service, const cxxopts::ParseResult& parsed) {
  ServiceOptions options{.broker = parsed["broker"].as<std::string>(),
                         .folder = parsed["folder"].as<std::string>(),
                         .from = parsed["from"].as<TransferId>(),
                         .to = parsed["to"].as<TransferId>(),
                         .plan = parse_deaths(service, parsed["die-at"].as<std::string>())};
  if (service == "service-a") return run_service_a(options);
  if (service == "service-b") return run_service_b(options);
  return run_naive_a(options);
}

int run(int argc, char** argv) {
  cxxopts::Options options("demo", "Two databases kept in step while processes are killed.");
  options.add_options()("naive", "a producer without the barrier: money is lost")(
      "seed", "fixes which transfer dies at which step",
      cxxopts::value<std::uint64_t>()->default_value("1"), "N")("h,help", "this text");
  options.add_options("service")("service", "", cxxopts::value<std::string>())(
      "broker", "", cxxopts::value<std::string>())("folder", "", cxxopts::value<std::string>())(
      "die-at", "", cxxopts::value<std::string>()->default_value(""))(
      "from", "", cxxopts::value<TransferId>()->default_value("1"))(
      "to", "", cxxopts::value<TransferId>()->default_value("0"));
  options.parse_positional({"service"});
  cxxopts::ParseResult parsed = options.parse(argc, argv);
  if (parsed.count("help")) return std::printf("%s\n", options.help({""}).c_str()), 0;
  if (parsed.count("service")) return run_service(parsed["service"].as<std::string>(), parsed);
  std::uint64_t seed = parsed["seed"].as<std::uint64_t>();
  return parsed.count("naive") ? run_naive(seed) : run_demo(seed);
}

}  // namespace
}  // namespace tally::demo

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return tally::demo::run(argc, argv);
  } catch (const cxxopts::exceptions::exception& error) {
    std::fprintf(stderr, "INVALID_ARGUMENT: %s; see demo --help\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
