#include "broker/server/base_job.h"

#include <algorithm>

#include "broker/server/shard_bases.h"
#include "protocol/base/fail_point.h"

namespace tally::broker {
namespace {

constexpr std::uint64_t kStepBytes = 256u << 10;
constexpr std::size_t kRowBytesLeast = 64;  // so that many short rows are a step, too

}  // namespace

Result<std::optional<KnownBase>> BaseJob::step() {
  if (stage_ == Stage::kBegin) return begin();
  if (stage_ == Stage::kRows) {
    TALLY_TRY_VOID(copy_rows());
    if (kind_ < base_kinds().size()) return std::optional<KnownBase>();
    TALLY_TRY_VOID(writer_->seal(oldest_needed_));
    view_.reset();
    stage_ = Stage::kReadBack;
    return std::optional<KnownBase>();
  }
  TALLY_TRY(const bool more, writer_->read_back());
  if (more) return std::optional<KnownBase>();
  TALLY_TRY(const store::BaseInfo base, writer_->publish());
  TALLY_FAIL_POINT("server.after_base");
  return std::optional(known(base));
}

Result<std::optional<KnownBase>> BaseJob::begin() {
  TALLY_FAIL_POINT("server.before_base");
  of_index_ = true;
  TALLY_TRY(view_, index_.snapshot());
  TALLY_TRY(const auto position, view_->position());
  if (!position) return Error(ErrorCode::kDataDamaged, "index: it has lost its position");
  of_index_ = false;
  if (const auto same = store::BaseReader::open(files_, directory_, position->next)) {
    return std::optional(known(same->info()));
  }
  TALLY_TRY(writer_, store::BaseWriter::begin(files_, directory_, shard_, *position));
  oldest_needed_ = position->next;
  next_key_ = keys::prefix(shard_, base_kinds().front());
  stage_ = Stage::kRows;
  return std::optional<KnownBase>();
}

Result<void> BaseJob::copy_rows() {
  std::uint64_t left = kStepBytes;
  while (left > 0 && kind_ < base_kinds().size()) {
    const keys::Kind kind = base_kinds()[kind_];
    Result<void> copied;
    of_index_ = true;
    TALLY_TRY_VOID(view_->scan(next_key_, keys::prefix_end(shard_, kind),
                               [&](std::string_view key, std::string_view value) {
                                 copied = copy_row(kind, key, value);
                                 left -= std::min<std::uint64_t>(
                                     left, std::max(key.size() + value.size(), kRowBytesLeast));
                                 next_key_.assign(key).push_back('\0');
                                 return copied.has_value() && left > 0;
                               }));
    TALLY_TRY_VOID(std::move(copied));
    of_index_ = false;
    if (left == 0) return {};
    if (++kind_ < base_kinds().size()) next_key_ = keys::prefix(shard_, base_kinds()[kind_]);
  }
  return {};
}

Result<void> BaseJob::copy_row(keys::Kind kind, std::string_view key, std::string_view value) {
  if (kind == keys::Kind::kOpen) {
    const auto oldest = oldest_half(key, value);
    if (!oldest)
      return Error(ErrorCode::kDataDamaged, "index: an open transaction does not decode");
    oldest_needed_ = std::min(oldest_needed_, *oldest);
  }
  auto added = writer_->add(key, value);
  of_index_ = added.has_value();
  return added;
}

}  // namespace tally::broker
