#pragma once
// The services, as processes of their own: `demo service-a|service-b|naive-a …`, started by the scenario.
//
// What they print, a line each, flushed: `begin ID`, `end ID committed|rolled-back|in-doubt` (A), `handling ID UID` (B),
// `stopping ID` (naive A), `done` (A, which then only answers checks).

#include <string>

#include "tools/demo/plan.h"

namespace tally::demo {

struct ServiceOptions {
  std::string broker{};
  std::string folder{};
  TransferId from = 1;
  TransferId to = 0;
  Plan plan{};
};

int run_service_a(const ServiceOptions& options);
int run_service_b(const ServiceOptions& options);
int run_naive_a(const ServiceOptions& options);

/// Prints a line at once.
void say(const std::string& line);

/// SIGKILL to ourselves: no destructor runs, no buffer is flushed.
[[noreturn]] void die();

}  // namespace tally::demo
