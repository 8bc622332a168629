#pragma once
// Receiving messages: by subscription (push), into a database exactly once in effect (subscribe_in), or by asking (receive).
//
//   auto consumer = tally::Consumer::connect({.broker = "127.0.0.1:7410", .group = "points"}).value();
//   auto points = consumer.subscribe({.topic = "order.created"}, [](const tally::Delivery& d) {
//     return book(d.message().body) ? tally::Settlement::ack() : tally::Settlement::retry();
//   }).value();

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tally/database.hpp>
#include <tally/ids.hpp>
#include <tally/logging.hpp>
#include <tally/message.hpp>
#include <tally/result.hpp>
#include <type_traits>
#include <utility>
#include <vector>

namespace tally {

/// One message as it was granted to this consumer. A value: copy it, keep it, read it from any thread.
class Delivery {
 public:
  Delivery() = default;
  Delivery(Message message, MessageUid id, QueueId queue, Offset offset, std::uint32_t attempt)
      : message_(std::move(message)), id_(id), queue_(queue), offset_(offset), attempt_(attempt) {}

  const Message& message() const { return message_; }
  /// The same for every delivery of this message, to every group.
  const MessageUid& id() const { return id_; }
  QueueId queue() const { return queue_; }
  Offset offset() const { return offset_; }
  /// 1 for the first; greater for a redelivery after a retry or a lost lease.
  std::uint32_t attempt() const { return attempt_; }

 private:
  Message message_{};
  MessageUid id_{};
  QueueId queue_{};
  Offset offset_{};
  std::uint32_t attempt_ = 1;
};

/// What becomes of a delivery.
class Settlement {
 public:
  enum class Kind : std::uint8_t { kAck, kRetry, kDeadLetter };

  /// Done: the group does not get this message again.
  static Settlement ack() { return {Kind::kAck, {}}; }
  /// Again later, after the group's back-off; after the group's last attempt it is dead-lettered.
  static Settlement retry() { return {Kind::kRetry, {}}; }
  /// Again after at least this time.
  static Settlement retry(std::chrono::milliseconds after) { return {Kind::kRetry, after}; }
  /// Never again for this group; the broker counts it.
  static Settlement dead_letter() { return {Kind::kDeadLetter, {}}; }

  Kind kind() const { return kind_; }
  /// For kRetry; nothing means the group's back-off.
  std::optional<std::chrono::milliseconds> after() const { return after_; }
  bool operator==(const Settlement&) const = default;

 private:
  Settlement(Kind kind, std::optional<std::chrono::milliseconds> after)
      : kind_(kind), after_(after) {}
  Kind kind_;
  std::optional<std::chrono::milliseconds> after_;
};

struct ConsumerOptions {
  std::string broker = "127.0.0.1:7410";
  std::string
      group{};  ///< consumer group: made by its first receive, starts at the earliest message
  std::string client{};  ///< name of this instance, for people; empty: the group's
  LogCallback log{};
  /// Runs handlers on the application's threads instead of the subscriptions' own: is given one task per message, and
  /// must run it elsewhere, not within the call. Must not throw.
  std::function<void(std::function<void()>)> executor{};
  /// Deadline of ack, nack, dead_letter, extend; for receive, time beyond its wait.
  std::chrono::milliseconds timeout{10'000};
};

struct SubscribeOptions {
  std::string topic{};
  std::uint32_t parallelism = 1;  ///< handlers at one time, each on a thread of its own; 1 to 256
  std::uint32_t prefetch = 32;    ///< granted messages that wait for a handler, at most; 0 to 768
  std::chrono::milliseconds lease{0};  ///< 0: the broker's default
};

struct ReceiveOptions {
  std::string topic{};
  std::uint32_t max = 1;               ///< messages, 1 to 1024
  std::chrono::milliseconds wait{0};   ///< for the first message; at most 60 s
  std::chrono::milliseconds lease{0};  ///< 0: the broker's default
};

using Handler = std::function<Settlement(const Delivery&)>;

/// A running subscription: messages of one topic go to a handler until it is stopped.
///
/// Operation: has a connection of its own. Leases are extended while messages wait and while a handler runs, however long. A
/// handler that throws means retry. When the connection breaks, messages that no handler has begun are dropped (the broker
/// grants them anew); results of running handlers are reported on the next connection.
/// Concurrency: thread-safe. Threads: one for the network, `parallelism` for handlers. With parallelism 1 the handler is never
/// called twice at the same time.
/// Ownership: may outlive its Consumer, whose end ends it.
/// Limits: parallelism + prefetch messages are held, and about 32 MiB of waiting ones.
class Subscription {
 public:
  Subscription(Subscription&&) noexcept;
  Subscription& operator=(Subscription&&) noexcept;
  /// Waits for handlers that still run, then up to 5 s for the broker to take what they settled. Within a handler of this
  /// subscription it waits for nothing, and the message of that handler comes again.
  ~Subscription();

  /// Takes no more messages, lets running handlers end, reports what they settled, joins the threads and closes the
  /// connection, which gives messages that no handler has begun back to the group. Errors: TIMEOUT when `deadline` passed
  /// before that: call it again, or let the destructor finish it. INVALID_ARGUMENT within a handler of this subscription,
  /// which has begun to stop then.
  Result<void> stop(std::chrono::milliseconds deadline = std::chrono::seconds(5));

 private:
  friend class Consumer;
  class Loop;
  explicit Subscription(std::shared_ptr<Loop> loop);
  std::shared_ptr<Loop> loop_;
};

/// A member of a consumer group.
///
/// Operation: each subscription has a connection, and the calls receive to extend share one; connections are made in the
/// background, and again after each loss. Calls wait for theirs until their deadline.
/// Concurrency: thread-safe, but must not be destroyed while another thread calls it.
/// Limits: calls beyond what the connection can queue fail with OVERLOADED.
class Consumer {
 public:
  /// Does not wait for the broker. Errors: INVALID_ARGUMENT (address), INVALID_NAME (group).
  static Result<Consumer> connect(ConsumerOptions options);
  Consumer(Consumer&&) noexcept;
  Consumer& operator=(Consumer&&) noexcept;
  /// Ends its subscriptions as their destructors do.
  ~Consumer();

  /// Calls `handler` for each message. Errors: INVALID_NAME (topic), OUT_OF_RANGE (an option), CLOSED.
  Result<Subscription> subscribe(SubscribeOptions options, Handler handler);

  /// Runs `work` once per message, however often it is delivered: in one transaction of `database` together with a row that
  /// says "group handled this message". `work` is called with (const Delivery&, Database::Transaction&) and returns nothing,
  /// or a Settlement: other than ack rolls back and settles so. A failed statement or an exception rolls back and means
  /// retry. Keeps a copy of `database`, which is a handle. Errors: as subscribe().
  template <typename Database, typename Work>
  Result<Subscription> subscribe_in(const Database& database, SubscribeOptions options, Work work) {
    using Transaction = typename Database::Transaction;
    return subscribe_once(
        std::make_shared<Database>(database), std::move(options),
        [work = std::move(work)](const Delivery& delivery, LocalTransaction& local) mutable {
          auto& transaction = static_cast<Transaction&>(local);
          if constexpr (std::is_void_v<decltype(work(delivery, transaction))>) {
            work(delivery, transaction);
            return Settlement::ack();
          } else {
            return Settlement(work(delivery, transaction));
          }
        });
  }

  /// Takes up to `max` messages; empty when there was none within `wait`. Settle each of them before its lease is over, or
  /// extend it. Errors: TOPIC_NOT_FOUND, OUT_OF_RANGE, UNREACHABLE, TIMEOUT, OVERLOADED, CLOSED.
  Result<std::vector<Delivery>> receive(ReceiveOptions options);
  /// Settle deliveries of receive(). OK means durable. Errors: LEASE_LOST when one of them was settled before or was granted
  /// again (the others are settled); UNREACHABLE, TIMEOUT (outcome unknown), CLOSED.
  Result<void> ack(const Delivery& delivery);
  Result<void> ack(std::span<const Delivery> deliveries);
  Result<void> nack(const Delivery& delivery, std::optional<std::chrono::milliseconds> after = {});
  Result<void> dead_letter(const Delivery& delivery);
  /// Lets the lease end `lease` from now; 0: the broker's default. Errors: as ack().
  Result<void> extend(const Delivery& delivery, std::chrono::milliseconds lease = {});

  /// Stops all subscriptions, as Subscription::stop() does. Error: TIMEOUT.
  Result<void> stop(std::chrono::milliseconds deadline = std::chrono::seconds(5));

 private:
  using OnceWork = std::function<Settlement(const Delivery&, LocalTransaction&)>;
  Result<Subscription> subscribe_once(std::shared_ptr<DatabaseAdapter> database,
                                      SubscribeOptions options, OnceWork work);

  class Connection;
  explicit Consumer(std::shared_ptr<Connection> connection);
  std::shared_ptr<Connection> connection_;
};

}  // namespace tally
