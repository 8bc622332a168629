#include "tools/log_inspect/progress.h"

#include <catch2/catch.hpp>

namespace tally::tools {
namespace {

struct HandClock final : Clock {
  std::int64_t wall_ms() const override { return now_us / 1000; }
  std::int64_t boot_us() const override { return now_us; }
  std::int64_t now_us = 5'000'000;
};

struct Screen {
  HandClock clock{};
  std::string text{};
  void at(Progress& progress, double seconds, std::uint64_t bytes) {
    clock.now_us = 5'000'000 + static_cast<std::int64_t>(seconds * 1e6);
    progress.reached(bytes);
  }
  auto show() {
    return [this](std::string_view shown) { text += shown; };
  }
};

TEST_CASE("work that takes a moment shows nothing") {
  Screen screen;
  {
    Progress progress("checking", 1'000'000, screen.clock, screen.show());
    screen.at(progress, 0.1, 300'000);
    screen.at(progress, 0.4, 1'000'000);
  }
  CHECK(screen.text.empty());
}

TEST_CASE("longer work shows how far it is, how fast, and how long it still takes") {
  Screen screen;
  Progress progress("checking", 600'000'000, screen.clock, screen.show());
  screen.at(progress, 2, 200'000'000);
  CHECK(screen.text ==
        "\r\x1b[Kchecking [##########....................]  33 %  200.0 of 600.0 MB  100 MB/s  "
        "0:04 left");
}

TEST_CASE("the rest is told in hours when it takes that long") {
  Screen screen;
  Progress progress("checking", 4'000'000'000'000, screen.clock, screen.show());
  screen.at(progress, 10, 1'000'000'000);
  CHECK_THAT(screen.text, Catch::Matchers::EndsWith("11:06:30 left"));
}

TEST_CASE("the line is renewed a few times a second and cleared at the end") {
  Screen screen;
  {
    Progress progress("checking", 1'000, screen.clock, screen.show());
    screen.at(progress, 1.0, 100);
    screen.at(progress, 1.1, 200);
    const std::string first = screen.text;
    CHECK_THAT(first, !Catch::Matchers::Contains("20 %"));
    screen.at(progress, 1.3, 300);
    CHECK(screen.text.size() > first.size());
  }
  CHECK_THAT(screen.text, Catch::Matchers::EndsWith("left\r\x1b[K"));
}

TEST_CASE("nothing is shown where there is no terminal") {
  HandClock clock;
  Progress progress("checking", 1'000, clock, {});
  clock.now_us += 10'000'000;
  progress.reached(500);
}

}  // namespace
}  // namespace tally::tools
