#include "broker/core/base_rows.h"

#include <algorithm>
#include <array>

#include "broker/core/transactions.h"
#include "protocol/base/seeded_bug.h"

namespace tally::broker {

std::span<const keys::Kind> base_kinds() {
  using keys::Kind;
  static constexpr std::array kKinds = {Kind::kConfig, Kind::kGroup,         Kind::kQueue,
                                        Kind::kOpen,   Kind::kProgress,      Kind::kSubscription,
                                        Kind::kTopic,  Kind::kProducerGroup, Kind::kProducer};
  static_assert(std::is_sorted(kKinds.begin(), kKinds.end()));
  return kKinds;
}

std::optional<Lsn> oldest_half(std::string_view key, std::string_view row) {
  const auto id = keys::id_of_form(keys::KeyReader(key).rest());
  Origins origins;
  Transaction transaction;
  if (!id || !decode_open(*id, row, origins, transaction)) return std::nullopt;
  if (TALLY_SEEDED_BUG("half_dropped_by_retention")) return Lsn(UINT64_MAX);
  const auto by_lsn = [](const Half& a, const Half& b) { return a.message.lsn < b.message.lsn; };
  const auto& halves = transaction.halves;
  return std::min_element(halves.begin(), halves.end(), by_lsn)->message.lsn;
}

std::optional<Lsn> end_of_decided(std::string_view key, std::string_view row) {
  const auto id = keys::id_of_form(keys::KeyReader(key).rest());
  Origins origins;
  Transaction transaction;
  if (!id || !decode_decided(*id, row, origins, transaction)) return std::nullopt;
  return transaction.decided_lsn;
}

}  // namespace tally::broker
