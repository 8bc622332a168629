#pragma once
// Which rows of attached databases' barrier tables can be removed, and when that is found out.
//
// Operation: in rounds, one a minute and database, in pages, oldest rows first: list rows that are older than lifetime and margin, ask
// the broker which of them are final, forget those. One page at a time is under way, whatever the number of databases.
// A row stays while the broker knows its transaction as open, and when it belongs to another log. A transaction that the
// broker does not know was decided before its horizon; its row goes when the longest lifetime there is has passed, too.
// Times are the broker's, as estimated at Hello, against the databases' own; the margin is for the difference. A row has to be
// as old by the clock of its database, too.
// Concurrency: one thread; no I/O, no clock.

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <tally/database.hpp>
#include <vector>

#include "protocol/base/requests.h"

namespace tally {

namespace action {

/// Ask the database; the rows go to barrier_listed().
struct ListBarrier {
  StoreId store{};
  BarrierQuery query{};
};
/// Ask the broker; the answer goes to finality_answered().
struct AskFindFinal {
  FindFinalRequest request{};
};
/// Tell the database; the outcome goes to barrier_forgotten().
struct ForgetRows {
  StoreId store{};
  std::vector<std::string> transactions{};
  std::int64_t before_ms = 0;
};

}  // namespace action

class BarrierCleaning {
 public:
  static constexpr std::int64_t kRoundMs = 60'000;
  static constexpr std::int64_t kPageMs = 100;  ///< from one page to the next
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  void attach(StoreId store);
  void connected(std::int64_t now_ms, const HelloResponse& hello);
  /// Nothing follows any more.
  void close();

  std::int64_t next_tick_ms() const;
  std::optional<action::ListBarrier> tick(std::int64_t now_ms);
  std::optional<action::AskFindFinal> listed(std::int64_t now_ms,
                                             Result<std::vector<BarrierRow>>&& rows);
  std::optional<action::ForgetRows> answered(std::int64_t now_ms,
                                             const Result<FindFinalResponse>& answer);
  void forgotten(std::int64_t now_ms, const Result<void>& done);

 private:
  struct Round {
    std::int64_t due_ms = 0;  ///< monotonic: its next page
    BarrierRow after{};
  };
  struct Page {
    StoreId store{};
    BarrierQuery query{};
    std::int64_t listed_at_ms = 0;  ///< broker time
    std::vector<BarrierRow> rows{};
    bool more = false;  ///< rows behind these
  };
  bool is_removable(const BarrierRow& row, Finality finality, std::int64_t known_since_ms) const;
  void page_done(std::int64_t now_ms);
  void round_done(std::int64_t now_ms);

  std::map<StoreId, Round> rounds_{};
  std::optional<Page> page_{};  ///< under way
  bool connected_ = false;
  LogId log_{};
  std::int64_t broker_ahead_ms_ = 0;
  std::int64_t lifetime_ms_ = 0;
};

}  // namespace tally
