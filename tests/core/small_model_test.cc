// Every state that two producers, two transactions and the broker's rules can reach, breadth first.
//
// Requests and answers of checks stay in the network for ever once they are sent: so they come late, doubled, in any order or
// never. Broker and producers crash at any moment; an operator ends what is open. The first transaction has one message and is begun by both producers, the
// second has two messages of one producer. A producer's database keeps what was committed, and a check that finds nothing
// writes its tombstone there, so that nothing can be committed any more.

#include <array>
#include <bit>
#include <catch2/catch.hpp>
#include <iostream>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "broker/core/transaction_rules.h"

namespace tally::broker {
namespace {

enum class Local : std::uint8_t { kIdle, kPreparing, kRunning, kCommitted, kNever };
enum class Sent : std::uint8_t {
  kHalf1 = 1,
  kHalf2 = 2,
  kEndCommit = 4,
  kEndRollback = 8,
  kAnswerCommit = 16,
  kAnswerRollback = 32,
  kAnswerUnknown = 64,
};
constexpr std::uint8_t kBudget = 1;
constexpr std::uint8_t kNobody = 2;

/// A producer's side of one transaction.
struct Side {
  Local local = Local::kIdle;
  std::uint8_t sent = 0;  ///< bits of Sent
  bool has(Sent bit) const { return (sent & static_cast<std::uint8_t>(bit)) != 0; }
  void send(Sent bit) { sent = static_cast<std::uint8_t>(sent | static_cast<std::uint8_t>(bit)); }
};
/// The broker's side.
struct Kept {
  TxState state = TxState::kNone;
  std::uint8_t owner = kNobody;
  std::uint8_t halves = 0;
  std::uint8_t checks = 0;
  bool asked = false;
  bool by_operator = false;  ///< who decided it
};
/// Producer 0 uses transaction 0, producer 1 both.
struct World {
  std::array<Kept, 2> kept{};
  std::array<Side, 3> sides{};
  std::array<std::uint8_t, 6> padding{};
};

constexpr std::array<std::uint8_t, 3> kTransactionOf = {0, 0, 1};
constexpr std::array<std::uint8_t, 3> kProducerOf = {0, 1, 1};
constexpr std::uint8_t messages(std::uint8_t transaction) { return transaction == 0 ? 1 : 2; }

using Packed = std::array<std::uint64_t, 3>;
struct Hash {
  std::size_t operator()(const Packed& packed) const {
    return packed[0] * 0x9E3779B97F4A7C15ull ^ packed[1] * 0xC2B2AE3D27D4EB4Full ^
           packed[2] * 0x165667B19E3779F9ull;
  }
};

class Model {
 public:
  /// With one rule replaced.
  explicit Model(std::optional<TxRow> broken = {}) : broken_(broken) {}

  /// Visits everything, up to the first violation; gives the number of states.
  std::size_t explore() {
    reach(World{}, "begin");
    for (std::size_t at = 0; at < order_.size(); ++at) {
      from_ = unpack(order_[at]);
      step(from_);
      if (!violations_.empty()) break;
    }
    return order_.size();
  }
  const std::vector<std::string>& violations() const { return violations_; }

 private:
  TxRow rule(TxState state, TxEvent event) const {
    if (broken_ && broken_->state == state && broken_->event == event) return *broken_;
    return broker::rule(state, event);
  }
  static Packed pack(const World& world) { return std::bit_cast<Packed>(world); }
  static World unpack(const Packed& packed) { return std::bit_cast<World>(packed); }

  void reach(const World& world, const char* how) {
    judge(world, how);
    const Packed packed = pack(world);
    if (seen_.insert(packed).second) order_.push_back(packed);
  }

  void judge(const World& world, const char* how) {
    for (std::uint8_t t = 0; t < 2; ++t) {
      const Kept& kept = world.kept[t];
      if (is_decided(from_.kept[t].state) && kept.state != from_.kept[t].state) {
        violated("a decision changed", how);
      }
      if (kept.state == TxState::kNone && from_.kept[t].state != TxState::kNone) {
        violated("a transaction vanished", how);
      }
      if (from_.kept[t].owner != kNobody && kept.owner != from_.kept[t].owner) {
        violated("a transaction was taken over", how);
      }
      if (kept.owner == kNobody) {
        if (kept.state != TxState::kNone) violated("something came of nothing", how);
        continue;
      }
      const Side& side = world.sides[side_of(t, kept.owner)];
      if (kept.by_operator) continue;  // who may decide against the database
      if (kept.state == TxState::kCommitted) {
        if (side.local != Local::kCommitted) violated("committed without its local commit", how);
        if (kept.halves != (1u << messages(t)) - 1) violated("committed incomplete", how);
      }
      if (kept.state == TxState::kRolledBack && side.local == Local::kCommitted) {
        violated("rolled back in spite of its local commit", how);
      }
    }
  }

  void violated(const char* what, const char* how) {
    if (violations_.size() < 10) violations_.push_back(std::string(what) + " by " + how);
  }

  static std::size_t side_of(std::uint8_t transaction, std::uint8_t producer) {
    return transaction == 0 ? producer : 2;
  }

  void step(const World& world) {
    for (std::size_t s = 0; s < world.sides.size(); ++s) {
      produce(world, s);
      deliver(world, s);
    }
    for (std::uint8_t t = 0; t < 2; ++t) keep(world, t);
    World crashed = world;
    for (Kept& kept : crashed.kept) kept.asked = false;
    reach(crashed, "a crash of the broker");
    for (std::uint8_t producer = 0; producer < 2; ++producer) crash(world, producer);
  }

  void crash(const World& world, std::uint8_t producer) {
    World after = world;
    for (std::size_t s = 0; s < after.sides.size(); ++s) {
      Side& side = after.sides[s];
      // What was not committed is gone; nobody begins it again.
      if (kProducerOf[s] == producer && side.local != Local::kCommitted) side.local = Local::kNever;
    }
    reach(after, "a crash of a producer");
  }

  void produce(const World& world, std::size_t s) {
    World after = world;
    Side& next = after.sides[s];
    switch (world.sides[s].local) {
      case Local::kIdle:
        next.local = Local::kPreparing;
        next.send(Sent::kHalf1);
        if (messages(kTransactionOf[s]) == 2) next.send(Sent::kHalf2);
        return reach(after, "PREPARE");
      case Local::kPreparing:
        next.local =
            Local::kRunning;  // even if no half was acknowledged: the answers are under way
        reach(after, "the local transaction");
        next.local = Local::kNever;
        return reach(after, "giving up");
      case Local::kRunning:
        next.local = Local::kCommitted;
        reach(after, "the local commit");
        next.local = Local::kNever;
        return reach(after, "the local rollback");
      case Local::kCommitted:
        next.send(Sent::kEndCommit);
        return reach(after, "asking for COMMIT");
      case Local::kNever:
        next.send(Sent::kEndRollback);
        return reach(after, "asking for ROLLBACK");
    }
  }

  /// Any message of the network reaches the broker; it stays there.
  void deliver(const World& world, std::size_t s) {
    const Side& side = world.sides[s];
    if (side.has(Sent::kHalf1)) prepare(world, s, 0);
    if (side.has(Sent::kHalf2)) prepare(world, s, 1);
    if (side.has(Sent::kEndCommit)) end(world, s, TxEvent::kCommit);
    if (side.has(Sent::kEndRollback)) end(world, s, TxEvent::kRollback);
    const std::uint8_t t = kTransactionOf[s];
    if (!world.kept[t].asked) return;  // the challenge of another check
    if (side.has(Sent::kAnswerCommit)) end(world, s, TxEvent::kCommit);
    if (side.has(Sent::kAnswerRollback)) end(world, s, TxEvent::kRollback);
    if (side.has(Sent::kAnswerUnknown)) {
      World after = world;
      after.kept[t].asked = false;
      reach(after, "an answer UNKNOWN");
    }
  }

  void prepare(const World& world, std::size_t s, unsigned number) {
    World after = world;
    Kept& kept = after.kept[kTransactionOf[s]];
    const bool known = (kept.halves >> number & 1) != 0;
    const TxEvent event = kept.state != TxState::kNone && kept.owner != kProducerOf[s]
                              ? TxEvent::kPrepareForeign
                          : known ? TxEvent::kPrepareSame
                                  : TxEvent::kPrepareNew;
    const TxRow row = rule(kept.state, event);
    if (row.answer == TxAnswer::kStored) {
      kept.owner = kProducerOf[s];
      kept.halves = static_cast<std::uint8_t>(kept.halves | 1u << number);
    }
    kept.state = row.next;
    reach(after, "a half");
  }

  void end(const World& world, std::size_t s, TxEvent decision) {
    World after = world;
    Kept& kept = after.kept[kTransactionOf[s]];
    const bool incomplete = is_open(kept.state) && decision == TxEvent::kCommit &&
                            kept.halves != (1u << messages(kTransactionOf[s])) - 1;
    const TxEvent event = kept.state != TxState::kNone && kept.owner != kProducerOf[s]
                              ? TxEvent::kEndForeign
                          : incomplete ? TxEvent::kEndIncomplete
                                       : decision;
    kept.state = rule(kept.state, event).next;
    if (is_decided(kept.state)) kept.asked = false;
    reach(after, "an END");
  }

  /// What the broker does by itself, and an operator with a parked transaction.
  void keep(const World& world, std::uint8_t t) {
    const Kept& kept = world.kept[t];
    if (!is_open(kept.state)) return;
    World after = world;
    Kept& next = after.kept[t];
    for (const TxEvent decision : {TxEvent::kCommit, TxEvent::kRollback}) {
      next = kept;
      next.state = rule(kept.state, decision).next;
      next.by_operator = true;
      next.asked = false;
      reach(after, "an operator's END");
    }
    next = kept;
    if (kept.state == TxState::kParked) {
      next.state = rule(kept.state, TxEvent::kResume).next;
      next.checks = 0;
      return reach(after, "resuming");
    }
    if (kept.asked) {
      next.asked = false;
      reach(after, "a check without answer");
      answer(world, side_of(t, kept.owner));
    } else if (kept.checks == kBudget) {
      next.state = rule(kept.state, TxEvent::kPark).next;
      reach(after, "parking");
    } else {
      next.state = rule(kept.state, TxEvent::kCheckDelivered).next;
      ++next.checks;
      next.asked = true;
      reach(after, "a check");
    }
  }

  /// Any instance of the owner's group answers from the database.
  void answer(const World& world, std::size_t s) {
    World after = world;
    Side& side = after.sides[s];
    if (side.local == Local::kCommitted) {
      side.send(Sent::kAnswerCommit);
      return reach(after, "an answer COMMIT");
    }
    side.local = Local::kNever;
    side.send(Sent::kAnswerRollback);
    reach(after, "an answer ROLLBACK, and its tombstone");
    if (world.sides[s].local != Local::kRunning) return;
    after = world;
    after.sides[s].send(Sent::kAnswerUnknown);
    reach(after, "an answer UNKNOWN");
  }

  std::optional<TxRow> broken_;
  std::unordered_set<Packed, Hash> seen_{};
  std::vector<Packed> order_{};
  World from_{};  ///< the state whose successors are being made
  std::vector<std::string> violations_{};
};

}  // namespace

TEST_CASE("no state that the rules can reach is a bad one") {
  Model model;
  const std::size_t states = model.explore();
  std::cout << "small model: " << states << " states, " << model.violations().size()
            << " violations\n";
  CAPTURE(model.violations());
  REQUIRE(model.violations().empty());
  REQUIRE(states > 10'000);
}

TEST_CASE("each of these broken rules leads to a bad state") {
  using S = TxState;
  using E = TxEvent;
  const TxRow broken = GENERATE(values<TxRow>({
      {S::kNone, E::kCommit, S::kCommitted, TxAnswer::kDecided},
      {S::kPending, E::kEndIncomplete, S::kCommitted, TxAnswer::kDecided},
      {S::kPending, E::kEndForeign, S::kRolledBack, TxAnswer::kDecided},
      {S::kPending, E::kPrepareForeign, S::kPending, TxAnswer::kStored},
      {S::kPending, E::kPark, S::kRolledBack, TxAnswer::kParked},
      {S::kParked, E::kResume, S::kNone, TxAnswer::kResumed},
      {S::kCommitted, E::kRollback, S::kRolledBack, TxAnswer::kDecided},
      {S::kRolledBack, E::kCommit, S::kCommitted, TxAnswer::kDecided},
      {S::kRolledBack, E::kPrepareNew, S::kPending, TxAnswer::kStored},
  }));
  CAPTURE(broken.state, broken.event);
  Model model(broken);
  model.explore();
  REQUIRE_FALSE(model.violations().empty());
}

}  // namespace tally::broker
