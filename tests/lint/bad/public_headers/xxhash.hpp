// lint-as: protocol/base/include/tally/digest.hpp
#pragma once
#include <xxhash.h>
