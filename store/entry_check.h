#pragma once
// What stands at a position of the log: a whole valid entry, or why not. Pure functions over bytes.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tally/ids.hpp>

#include "store/entry.h"

namespace tally::store {

/// Why the entries of a segment end at a position.
enum class Stop : std::uint8_t {
  kNoRoom,      ///< too few bytes are left for an entry
  kZeros,       ///< nothing was written: preamble and header are 0
  kBadHead,     ///< no entry header of this position, or its lengths cannot be
  kBadRecords,  ///< the entry checksum, or the layout of records and padding, is wrong
  kBadPreamble,
  kBadBlock,    ///< a message's checksum is wrong
  kOutOfOrder,  ///< a valid entry whose index or durable mark does not continue the log
  kNewerRules,  ///< a valid entry written by a newer version
};
inline constexpr std::array kStops = {Stop::kNoRoom,     Stop::kZeros,       Stop::kBadHead,
                                      Stop::kBadRecords, Stop::kBadPreamble, Stop::kBadBlock,
                                      Stop::kOutOfOrder, Stop::kNewerRules};
/// As a sentence's end: "the entry checksum is wrong".
std::string_view describe(Stop stop);

/// Where an entry is expected.
struct EntryPlace {
  Lsn lsn{};
  Lsn limit{};                        ///< the entry must end here or before
  std::optional<EntryIndex> index{};  ///< nothing: any
  std::uint64_t segment_epoch = 0;
  bool check_blocks = true;
};

/// A checked entry. Reused from entry to entry, so that a scan does not allocate.
struct CheckedEntry {
  Preamble preamble{};
  EntryView view{};     ///< points into `heads` and nowhere else
  std::string heads{};  ///< covered header bytes, record headers and extensions
};

/// Checks what can be told from the first kEntryHeadBytes and gives the header.
std::optional<Stop> check_head(std::string_view bytes, const EntryPlace& place,
                               EntryHeader& header);

/// Checks a whole entry (header.entry_bytes long) whose head passed check_head().
std::optional<Stop> check_entry(std::string_view bytes, const EntryPlace& place,
                                const EntryHeader& header, CheckedEntry& out);

/// The durable LSN that an entry head at `lsn` speaks of; nothing when it is no head of this
/// segment and position. Its records may be torn: what the head says is true all the same.
std::optional<Lsn> witness_at(std::string_view head, Lsn lsn, std::uint64_t segment_epoch);

/// Whether the block's trailer is `expected` and matches its bytes.
bool block_is_valid(std::string_view block, std::uint64_t expected);

}  // namespace tally::store
