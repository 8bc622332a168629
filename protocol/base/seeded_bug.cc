#include "protocol/base/seeded_bug.h"

#include <cstdlib>

namespace tally {
namespace {

std::string& seeded() {
  static std::string name = [] {
    const char* setting = std::getenv("TALLY_SEEDED_BUG");
    return std::string(setting != nullptr ? setting : "");
  }();
  return name;
}

}  // namespace

bool seeded_bug(const char* name) { return seeded() == name; }

const std::string& seeded_bug() { return seeded(); }

void seed_bug(std::string name) { seeded() = std::move(name); }

}  // namespace tally
