#include "tests/support/memory_inode.h"

#include <algorithm>
#include <cstring>

namespace tally::testing {
namespace {

constexpr std::uint64_t kSectorBytes = 512;

}  // namespace

CrashChoice::CrashChoice(const CrashKeeps& keeps, std::uint64_t first, std::uint64_t end)
    : part_(keeps.part),
      dice_(keeps.seed),
      kept_of_four_(1 + dice_.below(3)),
      later_than_(first + dice_.below(end - first + 1)) {}

bool CrashChoice::keep_name(std::uint64_t moment) {
  switch (part_) {
    case CrashKeeps::Part::kNothing:
      return false;
    case CrashKeeps::Part::kEverything:
    case CrashKeeps::Part::kSectors:
    case CrashKeeps::Part::kWrites:
      return true;
    case CrashKeeps::Part::kLater:
      return moment > later_than_;
    case CrashKeeps::Part::kNames:
    case CrashKeeps::Part::kRandom:
      break;
  }
  return draw();
}

bool CrashChoice::keep_write(std::uint64_t moment) {
  switch (part_) {
    case CrashKeeps::Part::kNothing:
      return false;
    case CrashKeeps::Part::kWrites:
      return draw();
    case CrashKeeps::Part::kLater:
      return moment > later_than_;
    case CrashKeeps::Part::kEverything:
    case CrashKeeps::Part::kNames:
    case CrashKeeps::Part::kSectors:
    case CrashKeeps::Part::kRandom:
      break;
  }
  return true;
}

std::size_t PagedBytes::read(std::uint64_t position, char* to, std::size_t size) const {
  if (position >= size_) return 0;
  const std::size_t wanted = std::min<std::uint64_t>(size, size_ - position);
  for (std::size_t done = 0; done < wanted;) {
    const std::uint64_t at = position + done;
    const std::size_t part = std::min<std::uint64_t>(kPageBytes - at % kPageBytes, wanted - done);
    if (const auto& page = pages_[at / kPageBytes]) {
      std::memcpy(to + done, page->data() + at % kPageBytes, part);
    } else {
      std::memset(to + done, 0, part);
    }
    done += part;
  }
  return wanted;
}

PagedBytes::Page& PagedBytes::page_for_writing(std::uint64_t index) {
  std::shared_ptr<Page>& page = pages_[index];
  if (!page) {
    page = std::make_shared<Page>();
  } else if (page.use_count() > 1) {
    page = std::make_shared<Page>(*page);
  }
  return *page;
}

void PagedBytes::write(std::uint64_t position, std::string_view bytes) {
  if (size_ < position + bytes.size()) resize(position + bytes.size());
  while (!bytes.empty()) {
    const std::uint64_t in_page = position % kPageBytes;
    const std::size_t part = std::min<std::uint64_t>(kPageBytes - in_page, bytes.size());
    std::memcpy(page_for_writing(position / kPageBytes).data() + in_page, bytes.data(), part);
    bytes.remove_prefix(part);
    position += part;
  }
}

void PagedBytes::write_zeroes(std::uint64_t position, std::uint64_t bytes) {
  if (size_ < position + bytes) resize(position + bytes);
  while (bytes > 0) {
    const std::uint64_t in_page = position % kPageBytes;
    const std::uint64_t part = std::min(kPageBytes - in_page, bytes);
    std::shared_ptr<Page>& page = pages_[position / kPageBytes];
    if (part == kPageBytes) {
      page.reset();
    } else if (page) {
      std::memset(page_for_writing(position / kPageBytes).data() + in_page, 0, part);
    }
    position += part;
    bytes -= part;
  }
}

void PagedBytes::resize(std::uint64_t bytes) {
  if (bytes < size_ && bytes % kPageBytes != 0 && pages_[bytes / kPageBytes]) {
    const std::uint64_t kept = bytes % kPageBytes;
    std::memset(page_for_writing(bytes / kPageBytes).data() + kept, 0, kPageBytes - kept);
  }
  pages_.resize((bytes + kPageBytes - 1) / kPageBytes);
  size_ = bytes;
}

std::uint64_t PagedBytes::data_end() const {
  for (std::size_t i = pages_.size(); i > 0; --i) {
    if (!pages_[i - 1]) continue;
    const Page& page = *pages_[i - 1];
    const auto last = std::find_if(page.rbegin(), page.rend(), [](char byte) { return byte != 0; });
    if (last != page.rend()) {
      return (i - 1) * kPageBytes + static_cast<std::uint64_t>(page.rend() - last);
    }
  }
  return 0;
}

void PagedBytes::share(const PagedBytes& from, std::uint64_t position, std::uint64_t bytes) {
  if (size_ != from.size_) resize(from.size_);
  const std::uint64_t end = std::min(position + bytes, size_);
  for (std::uint64_t page = position / kPageBytes; page * kPageBytes < end; ++page) {
    pages_[page] = from.pages_[page];
  }
}

/// Applies a part of the change; a new size has no parts.
void MemoryInode::Change::apply(PagedBytes& to, std::uint64_t from, std::uint64_t count) const {
  switch (kind) {
    case Kind::kBytes:
      to.write(position + from, std::string_view(bytes).substr(from, count));
      break;
    case Kind::kZeroes:
      to.write_zeroes(position + from, count);
      break;
    case Kind::kSize:
      to.resize(position);
      break;
  }
}

void MemoryInode::change(Change change) {
  change.apply(now_);
  pending_.push_back(std::move(change));
}

void MemoryInode::write(std::uint64_t moment, std::uint64_t position, std::string bytes) {
  const std::uint64_t size = bytes.size();
  change({Change::Kind::kBytes, moment, position, size, std::move(bytes)});
}

void MemoryInode::write_zeroes(std::uint64_t moment, std::uint64_t position, std::uint64_t bytes) {
  change({Change::Kind::kZeroes, moment, position, bytes, {}});
}

void MemoryInode::resize(std::uint64_t moment, std::uint64_t bytes) {
  change({Change::Kind::kSize, moment, bytes, 0, {}});
}

void MemoryInode::sync() {
  for (const Change& change : pending_) {
    if (cache_lies_) {
      change.apply(durable_);
    } else {
      durable_.share(now_, change.position, change.size);
    }
  }
  pending_.clear();
}

void MemoryInode::lose_unsynced() {
  cache_lies_ = cache_lies_ || !pending_.empty();
  pending_.clear();
}

void MemoryInode::drop_cache() {
  if (!cache_lies_) return;
  now_ = durable_;
  for (const Change& change : pending_) change.apply(now_);
  cache_lies_ = false;
}

PagedBytes MemoryInode::after_crash(CrashChoice& choice) const {
  PagedBytes content = durable_;
  for (const Change& change : pending_) {
    if (!choice.keep_write(change.moment)) continue;
    if (change.kind == Change::Kind::kSize) {
      if (choice.keep_sector()) change.apply(content);
      continue;
    }
    for (std::uint64_t at = 0; at < change.size;) {
      const std::uint64_t sector_left = kSectorBytes - (change.position + at) % kSectorBytes;
      const std::uint64_t part = std::min(sector_left, change.size - at);
      if (choice.keep_sector()) change.apply(content, at, part);
      at += part;
    }
  }
  return content;
}

void MemoryInode::damage(std::uint64_t position, std::string_view bytes) {
  now_.write(position, bytes);
  durable_.write(position, bytes);
}

void MemoryInode::cut(std::uint64_t bytes) {
  now_.resize(bytes);
  durable_.resize(bytes);
}

}  // namespace tally::testing
