// lint-as: protocol/base/ids.cc
#include "store/log.h"
