#pragma once
// Producer groups that have settings of their own, and which settings hold for a transaction.
//
// A group exists by being named in a PREPARE; only what was set for it is kept. Owned by the core; one thread.

#include <string_view>
#include <vector>

#include "broker/core/topics.h"
#include "broker/core/transactions.h"
#include "protocol/base/bytes.h"

namespace tally::broker {

class ProducerGroups {
 public:
  ProducerGroups(Context& context, Topics& topics) : context_(context), topics_(topics) {}

  Result<void> restore(const store::IndexView& index);
  void admit_set(const Waiter& waiter, const SetProducerGroupRequest& request);
  bool apply_change(const Applying& applying);
  void admit_list(const Waiter& waiter, const ListProducerGroupsRequest& request);
  void collect();

  /// Nothing is left open. `topic`: of the first message; may be null.
  CheckSettings settings(std::string_view group, const Topic* topic) const;
  CheckSettings settings(const Transaction& transaction) const;

 private:
  Context& context_;
  Topics& topics_;
  TextMap<CheckSettings> groups_{};
  std::vector<std::string> dirty_{};
  std::uint32_t in_flight_ = 0;  ///< changes asked for and not applied yet
};

// Settings within rows of the index.
void put_checks(std::string& row, const CheckSettings& checks);
CheckSettings get_checks(ByteReader& in);

}  // namespace tally::broker
