// Delivery.

#include "protocol/base/limits.h"
#include "protocol/base/names.h"
#include "protocol/wire/convert.h"

namespace tally::wire {
namespace {

Result<void> check_item_count(int items) {
  return check_range("number of items", items, 1, limits::kSettleItemsMax);
}

void write_results(const std::vector<ErrorCode>& from,
                   google::protobuf::RepeatedField<std::uint32_t>& to) {
  to.Reserve(static_cast<int>(from.size()));
  for (ErrorCode code : from) to.Add(static_cast<std::uint32_t>(code));
}

void read_results(const google::protobuf::RepeatedField<std::uint32_t>& from,
                  std::vector<ErrorCode>& to) {
  to.reserve(static_cast<std::size_t>(from.size()));
  for (std::uint32_t number : from) to.push_back(error_code_from_number(number));
}

}  // namespace

void to_wire(const ReceiveRequest& from, pb::ReceiveRequest& to) {
  to.set_topic(from.topic);
  to.set_group(from.group);
  to.set_messages_max(from.messages_max);
  to.set_bytes_max(from.bytes_max);
  to.set_wait_ms(from.wait_ms);
  to.set_lease_ms(from.lease_ms);
}

Result<void> from_wire(const pb::ReceiveRequest& from, ReceiveRequest& to) {
  TALLY_TRY_VOID(check_name("topic", from.topic()));
  TALLY_TRY_VOID(check_name("group", from.group()));
  TALLY_TRY_VOID(check_range("messages_max", from.messages_max(), 1, limits::kReceiveMessagesMax));
  TALLY_TRY_VOID(check_range("bytes_max", from.bytes_max(), 0, limits::kReceiveBytesMax));
  TALLY_TRY_VOID(check_range("wait_ms", from.wait_ms(), 0, limits::kReceiveWaitMsMax));
  TALLY_TRY_VOID(check_lease(from.lease_ms()));
  to.topic = from.topic();
  to.group = from.group();
  to.messages_max = from.messages_max();
  to.bytes_max = from.bytes_max();
  to.wait_ms = from.wait_ms();
  to.lease_ms = from.lease_ms();
  return {};
}

void to_wire(const ReceiveResponse& from, pb::ReceiveResponse& to) {
  to.set_applied(from.applied.value);
  to.set_lease_ms(from.lease_ms);
  for (const DeliveryHeader& delivery : from.deliveries) {
    pb::DeliveryHeader& added = *to.add_deliveries();
    added.set_lsn(delivery.lsn.value);
    added.set_queue(delivery.queue.value);
    added.set_offset(delivery.offset.value);
    added.set_attempt(delivery.attempt);
    added.set_block_bytes(delivery.block_bytes);
  }
}

Result<void> from_wire(const pb::ReceiveResponse& from, ReceiveResponse& to) {
  to.applied = EntryIndex{from.applied()};
  to.lease_ms = from.lease_ms();
  to.deliveries.reserve(static_cast<std::size_t>(from.deliveries_size()));
  for (const pb::DeliveryHeader& delivery : from.deliveries()) {
    to.deliveries.push_back({.lsn = Lsn{delivery.lsn()},
                             .queue = QueueId{delivery.queue()},
                             .offset = Offset{delivery.offset()},
                             .attempt = delivery.attempt(),
                             .block_bytes = delivery.block_bytes()});
  }
  return {};
}

void to_wire(const SettleRequest& from, pb::SettleRequest& to) {
  to.set_topic(from.topic);
  to.set_group(from.group);
  for (const SettleItem& item : from.items) {
    pb::SettleItem& added = *to.add_items();
    added.set_queue(item.queue.value);
    added.set_offset(item.offset.value);
    added.set_attempt(item.attempt);
    added.set_action(static_cast<std::uint32_t>(item.action));
    if (item.delay_ms != -1) added.set_delay_ms(item.delay_ms);
  }
}

Result<void> from_wire(const pb::SettleRequest& from, SettleRequest& to) {
  TALLY_TRY_VOID(check_name("topic", from.topic()));
  TALLY_TRY_VOID(check_name("group", from.group()));
  TALLY_TRY_VOID(check_item_count(from.items_size()));
  to.topic = from.topic();
  to.group = from.group();
  to.items.reserve(static_cast<std::size_t>(from.items_size()));
  for (const pb::SettleItem& item : from.items()) {
    if (item.action() < 1 || item.action() > 3) {
      return Error{ErrorCode::kInvalidArgument,
                   "a settle has no action " + std::to_string(item.action())};
    }
    if (item.has_delay_ms()) {
      TALLY_TRY_VOID(check_range("delay_ms", item.delay_ms(), 0, limits::kNackDelayMsMax));
    }
    to.items.push_back({.queue = QueueId{item.queue()},
                        .offset = Offset{item.offset()},
                        .attempt = item.attempt(),
                        .action = static_cast<SettleAction>(item.action()),
                        .delay_ms = item.has_delay_ms() ? item.delay_ms() : -1});
  }
  return {};
}

void to_wire(const SettleResponse& from, pb::SettleResponse& to) {
  to.set_applied(from.applied.value);
  write_results(from.results, *to.mutable_results());
}

Result<void> from_wire(const pb::SettleResponse& from, SettleResponse& to) {
  to.applied = EntryIndex{from.applied()};
  read_results(from.results(), to.results);
  return {};
}

void to_wire(const ExtendLeaseRequest& from, pb::ExtendLeaseRequest& to) {
  to.set_topic(from.topic);
  to.set_group(from.group);
  to.set_lease_ms(from.lease_ms);
  for (const LeaseItem& item : from.items) {
    pb::LeaseItem& added = *to.add_items();
    added.set_queue(item.queue.value);
    added.set_offset(item.offset.value);
    added.set_attempt(item.attempt);
  }
}

Result<void> from_wire(const pb::ExtendLeaseRequest& from, ExtendLeaseRequest& to) {
  TALLY_TRY_VOID(check_name("topic", from.topic()));
  TALLY_TRY_VOID(check_name("group", from.group()));
  TALLY_TRY_VOID(check_lease(from.lease_ms()));
  TALLY_TRY_VOID(check_item_count(from.items_size()));
  to.topic = from.topic();
  to.group = from.group();
  to.lease_ms = from.lease_ms();
  to.items.reserve(static_cast<std::size_t>(from.items_size()));
  for (const pb::LeaseItem& item : from.items()) {
    to.items.push_back({QueueId{item.queue()}, Offset{item.offset()}, item.attempt()});
  }
  return {};
}

void to_wire(const ExtendLeaseResponse& from, pb::ExtendLeaseResponse& to) {
  write_results(from.results, *to.mutable_results());
}

Result<void> from_wire(const pb::ExtendLeaseResponse& from, ExtendLeaseResponse& to) {
  read_results(from.results(), to.results);
  return {};
}

}  // namespace tally::wire
