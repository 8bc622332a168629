// lint-as: producer-sdk/include/tally/producer.hpp
#pragma once
#include "protocol/base/limits.h"
