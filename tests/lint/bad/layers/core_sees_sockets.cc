// lint-as: broker/core/broker_core.cc
#include "protocol/net/connection.h"
