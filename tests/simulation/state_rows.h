#pragma once
// A broker's state as rows of its index: equal states have equal rows, but for what retention erases at leisure.

#include <map>
#include <string>

#include "broker/server/shard.h"
#include "tests/simulation/machine_index.h"

namespace tally::simulation {

using StateRows = std::map<std::string, std::string>;

/// All rows that stand in the index.
StateRows rows_of(const store::IndexView& index);
/// With what the core would write next. The core has nothing in flight, and is not to be used afterwards.
StateRows rows_of(broker::BrokerCore& core, const store::IndexView& index);
/// What a start finds on a copy of a machine. Errors: of broker::open_shard().
Result<StateRows> rows_after_start(store::FileSystem& files, MachineIndex index,
                                   const broker::Settings& settings);

/// The first row that differs, for people; empty: none does.
std::string difference(const StateRows& a, const StateRows& b);

}  // namespace tally::simulation
