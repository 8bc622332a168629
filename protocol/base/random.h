#pragma once
// The only source of randomness: the kernel's. For ids, jitter of reconnects; never inside apply.

#include <cstdint>
#include <string>
#include <tally/ids.hpp>

namespace tally {

std::uint64_t random_u64();
LogId random_log_id();
StoreId random_store_id();

/// A time-ordered transaction id: 12 hex digits of `wall_ms` (48 bits), then 20 random hex digits
/// (80 bits).
std::string make_transaction_id(std::int64_t wall_ms);

}  // namespace tally
