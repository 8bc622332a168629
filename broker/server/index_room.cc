#include "broker/server/index_room.h"

#include <spdlog/spdlog.h>

namespace tally::broker {

Result<void> IndexRoom::make() {
  const std::lock_guard lock(mutex_);
  TALLY_TRY(const bool exists, files_.exists(path_));
  if (exists) return {};
  const std::string directory = path_.substr(0, path_.rfind('/'));
  TALLY_TRY(const store::DiskSpace space, files_.disk_space(directory));
  if (space.free_bytes < bytes_) return {};
  auto file = files_.open(path_, store::FileSystem::Mode::kCreate);
  auto made = file ? (*file)->allocate(bytes_) : Result<void>(std::move(file).error());
  if (made) return {};
  TALLY_TRY_VOID(remove());
  return made.error().code == ErrorCode::kDiskFull ? Result<void>() : made;
}

Result<bool> IndexRoom::give() {
  const std::lock_guard lock(mutex_);
  TALLY_TRY(const bool given, remove());
  if (given) spdlog::warn("the disk is full: the index is given its room");
  return given;
}

Result<bool> IndexRoom::remove() {
  TALLY_TRY(const bool exists, files_.exists(path_));
  if (exists) TALLY_TRY_VOID(files_.remove(path_));
  return exists;
}

}  // namespace tally::broker
