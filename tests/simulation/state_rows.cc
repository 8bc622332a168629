#include "tests/simulation/state_rows.h"

#include <cctype>

#include "broker/core/index_keys.h"
#include "broker/core/lasting_rows.h"

namespace tally::simulation {
namespace {

std::string printable(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    if (std::isgraph(static_cast<unsigned char>(c)) != 0 && c != '\\') {
      text.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      text.append({'\\', kDigits[byte >> 4], kDigits[byte & 15]});
    }
  }
  return text;
}

store::IndexBatch batch_of(const store::IndexView& index) {
  store::IndexBatch batch;
  for (const auto& [key, value] : rows_of(index)) batch.operations.push_back({key, value});
  batch.position = index.position().value().value_or(store::ReplayFrom{});
  return batch;
}

}  // namespace

MachineIndex MachineIndex::copy() const {
  MachineIndex copied;
  if (rows_ == nullptr) return copied;
  copied.rows_ = store::make_memory_index();
  copied.rows_->write(batch_of(*rows_)).value();
  return copied;
}

StateRows rows_of(const store::IndexView& index) {
  using broker::keys::Kind;
  StateRows rows;
  index
      .scan(broker::keys::prefix(ShardId(0), Kind()), broker::keys::prefix(ShardId(0), Kind(0x7F)),
            [&](std::string_view key, std::string_view value) {
              return rows.emplace(key, value).second;
            })
      .value();
  return rows;
}

StateRows rows_of(broker::BrokerCore& core, const store::IndexView& index) {
  StateRows rows = rows_of(index);
  const auto batch = core.take_checkpoint();
  for (const auto& [key, value] : batch->operations) {
    if (value) {
      rows[key] = *value;
    } else {
      rows.erase(key);
    }
  }
  return rows;
}

Result<StateRows> rows_after_start(store::FileSystem& files, MachineIndex index,
                                   const broker::Settings& settings) {
  TALLY_TRY(
      const broker::Shard shard,
      broker::open_shard(settings, ShardId(0), files, {.index = &index, .prepare_ahead = false}));
  return rows_of(*shard.core, *shard.index);
}

std::string difference(const StateRows& a, const StateRows& b) {
  broker::Retained retained;
  for (const auto& [key, value] : b) broker::note_retained(key, value, retained);
  const auto lasting = [&](const StateRows& rows, const std::string& key) {
    const auto row = rows.find(key);
    return row == rows.end() ? std::nullopt : broker::lasting(key, row->second, retained);
  };
  StateRows all = a;
  all.insert(b.begin(), b.end());
  for (const auto& [key, value] : all) {
    const auto ours = lasting(a, key), theirs = lasting(b, key);
    if (ours == theirs) continue;
    return "row " + printable(key) + " is " + (ours ? printable(*ours) : "missing") +
           " instead of " + (theirs ? printable(*theirs) : "missing");
  }
  return {};
}

}  // namespace tally::simulation
