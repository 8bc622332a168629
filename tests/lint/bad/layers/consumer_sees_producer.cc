// lint-as: consumer-sdk/consumer.cc
#include "producer-sdk/producer_core.h"
