#include "store/entry_walk.h"

#include <algorithm>

namespace tally::store {

EntryWalk::EntryWalk(std::shared_ptr<const Segments> segments, Lsn from, Lsn to)
    : segments_(std::move(segments)), to_(to), at_(std::max(from, segments_->front()->base())) {
  while (segment_ + 1 < segments_->size() && (*segments_)[segment_ + 1]->base() <= at_) ++segment_;
}

Result<const EntryView*> EntryWalk::next() {
  if (at_ >= to_) return static_cast<const EntryView*>(nullptr);
  const Segment& segment = *(*segments_)[segment_];
  const bool is_last = segment_ + 1 == segments_->size();
  const Lsn limit = is_last ? to_ : std::min(to_, (*segments_)[segment_ + 1]->base());
  if (scanned_ != &segment) scan_.emplace(segment);
  scanned_ = &segment;
  TALLY_TRY(const auto stop, scan_->read(at_, limit, std::nullopt, false));
  const Lsn stood = at_;
  at_ = stop ? limit : scan_->entry().view.header.end();
  if (at_ == limit && !is_last) ++segment_;
  if (!stop) return &scan_->entry().view;
  return Error(ErrorCode::kDataDamaged,
               segment.path + ": position " + std::to_string(segment.position(stood)) + " (LSN " +
                   std::to_string(stood.value) + "): " + std::string(describe(*stop)));
}

}  // namespace tally::store
