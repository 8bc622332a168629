#include "protocol/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace tally {

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "tally: %s:%d: this must hold but does not: %s\n", file, line, condition);
  std::abort();
}

}  // namespace tally
