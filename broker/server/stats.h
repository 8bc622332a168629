#pragma once
// The answer to Stats: counters of the server, the core and the process as one flat list.

#include "broker/core/broker_core.h"
#include "broker/server/counters.h"
#include "protocol/base/requests.h"

namespace tally::broker {

StatsResponse collect_stats(const Counters& counters, const BrokerCore::Counters& core);

}  // namespace tally::broker
