#pragma once
// Consumer groups: who waits for messages, who holds which message, and what is settled.
//
// Durable are groups, subscriptions and Progress, changed by apply only. Leases, waiting receives and cursors are volatile:
// after a restart everything unsettled is granted again. A message whose settle is in flight is not leased. Per queue at most
// kUnsettledMax messages are leased or in retry; beyond that new ones wait. Owned by the core; one thread.

#include <list>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "broker/core/progress.h"
#include "broker/core/sessions.h"

namespace tally::broker {

inline constexpr std::size_t kUnsettledMax = 65'536;

struct Lease : TimerHook {
  Lease() : TimerHook(TimerKind::kLease) {}
  Subscription* subscription = nullptr;
  std::uint32_t queue = 0;
  std::uint64_t offset = 0;
  std::uint32_t attempt = 0;
  SessionId session{};
  bool expiring = false;  ///< its LeaseExpired is in flight
};

struct WaitingReceive : TimerHook {
  WaitingReceive() : TimerHook(TimerKind::kReceive) {}
  Subscription* subscription = nullptr;
  Waiter waiter{};
  std::uint32_t messages_max = 0;
  std::uint32_t bytes_max = 0;
  std::int64_t lease_ms = 0;
  std::int64_t wait_ms = 0;
  bool over = false;  ///< the wait is over; it still waits for loads
};

/// One group's view of one queue.
struct QueueDelivery {
  Progress progress{};
  bool dirty = false;
  std::uint64_t cursor = 0;                           ///< new messages are granted from here
  std::set<std::uint64_t> returned{};                 ///< below the cursor, to be granted again
  std::unordered_map<std::uint64_t, Lease> leases{};  ///< by offset
  std::unordered_map<std::uint64_t, std::uint32_t> settling{};  ///< settles in flight, by offset
  std::set<std::uint64_t>
      damaged{};  ///< granted since the start and unreadable; at most kUnsettledMax
};

struct Group {
  GroupUid uid{};
  std::string name{};
  std::vector<std::unique_ptr<Subscription>> subscriptions{};
};

/// One group's view of one topic. Its timer is for the next retry that falls due while somebody waits.
struct Subscription : TimerHook {
  Subscription(Group& g, Topic& t)
      : TimerHook(TimerKind::kRetry), group(g), topic(t), queues(t.queues.size()) {}
  Group& group;
  Topic& topic;
  std::vector<QueueDelivery> queues;
  using Due = std::tuple<std::int64_t, std::uint32_t, std::uint64_t>;  ///< time, queue, offset
  std::set<Due> retry_due{};  ///< retries that nobody leases
  std::list<WaitingReceive> waiting{};
  std::uint32_t turn = 0;                                ///< queue to be asked first
  std::unordered_set<BlockKey, BlockKeyHash> loading{};  ///< under way from the index
  bool pump_queued = false;
  std::vector<store::SettleEntry> expired{};  ///< leases to be proposed as expired
};

class Deliveries {
 public:
  Deliveries(Context& context, Topics& topics, Sessions& sessions)
      : context_(context), topics_(topics), sessions_(sessions) {}

  Result<void> restore(const store::IndexView& index);
  /// Derives cursors and due retries from progress.
  void start();

  void admit_receive(const Waiter& waiter, const ReceiveRequest& request);
  void admit_settle(const Waiter& waiter, const SettleRequest& request);
  void admit_extend(const Waiter& waiter, const ExtendLeaseRequest& request);
  void admit_list(const Waiter& waiter, const ListGroupsRequest& request);
  void message_damaged(const DamagedMessage& message);
  void session_closed(SessionId id, Session& session);
  void drain();

  bool apply_group_change(const Applying& applying);
  bool apply_settle(const Applying& applying);
  /// After Retain: groups give up what their queue no longer keeps.
  void lose_below_first(Topic& topic, std::span<const store::RetainFloor> floors);

  void lease_due(Lease& lease);
  void receive_due(WaitingReceive& receive);
  void retry_due(Subscription& subscription) { queue_pump(subscription); }
  /// Grants what became available and proposes expired leases. To be called at the end of each batch.
  void flush();

  void collect();

 private:
  struct Filling;
  Group* find_group(std::string_view name);
  Subscription* find(std::string_view group, std::string_view topic);
  static Subscription* find(Group* group, const Topic* topic);
  Subscription& make(Group& group, Topic& topic);
  Group& make_group(GroupUid uid, std::string_view name);
  void open(const Waiter& waiter, Topic& topic, const ReceiveRequest& request,
            std::list<WaitingReceive>&& receive);
  void wait(Subscription& subscription, std::list<WaitingReceive>&& receive);

  void queue_pump(Subscription& subscription);
  void pump(Subscription& subscription);
  void grant(Subscription& subscription, Filling& filling);
  void grant_retries(Subscription& subscription, Filling& filling);
  void grant_queue(Subscription& subscription, std::uint32_t queue, Filling& filling);
  bool lease(Subscription& subscription, std::uint32_t queue, std::uint64_t offset,
             Filling& filling);
  void load_block(Subscription& subscription, std::uint32_t queue, std::uint64_t offset);
  void answer_empty(const WaitingReceive& receive);
  void give_back(Subscription& subscription, const Lease& lease);
  void settle_in_flight(Subscription& subscription, const std::vector<store::SettleEntry>& items);
  bool settle_item(Subscription& subscription, const store::SettleEntry& item,
                   std::int64_t time_ms);
  void mark_dirty(Subscription& subscription, std::uint32_t queue);
  std::uint64_t lose_below_first(Subscription& subscription, std::uint32_t queue);
  void propose_expired(Subscription& subscription);

  Context& context_;
  Topics& topics_;
  Sessions& sessions_;
  TextMap<Group*> by_name_{};
  std::vector<std::unique_ptr<Group>> by_uid_{};
  std::uint32_t newest_uid_ = 0;   ///< also of groups in flight
  TextMap<GroupUid> in_flight_{};  ///< groups asked for and not applied yet
  std::map<std::pair<std::string, std::uint32_t>, std::list<WaitingReceive>>
      opening_{};  ///< group, topic
  std::vector<Subscription*> to_pump_{}, to_expire_{};
  std::vector<Group*> new_groups_{};
  std::vector<Subscription*> new_subscriptions_{};
  std::vector<std::pair<Subscription*, std::uint32_t>> dirty_{};
};

}  // namespace tally::broker
