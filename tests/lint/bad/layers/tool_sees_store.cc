// lint-as: tools/tally/status.cc
#include "store/log.h"
