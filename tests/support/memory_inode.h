#pragma once
// The bytes of one file in memory: what a reader sees, what the disk has, and what lies between.
// Pages are shared between images and copied when they are written; pages of zeroes take no room.
// Not thread-safe: the file system's lock protects it.

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tally::testing {

/// What a crash keeps of all that was not synced.
struct CrashKeeps {
  enum class Part : std::uint8_t {
    kNothing,
    kEverything,
    kSectors,  ///< any 512-byte sectors and sizes; every name
    kWrites,   ///< any whole writes and sizes; every name
    kNames,    ///< any names; every byte
    kLater,    ///< everything since some moment, nothing from before it
    kRandom,   ///< any sectors, sizes and names
  };
  Part part = Part::kNothing;
  std::uint64_t seed = 0;  ///< which of them
};

/// Pseudo-random numbers of a seed (splitmix64): for tests that have to repeat.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t value = (state_ += 0x9e3779b97f4a7c15);
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
  }
  std::uint64_t below(std::uint64_t limit) { return next() % limit; }
  bool one_in(std::uint64_t times) { return below(times) == 0; }

 private:
  std::uint64_t state_;
};

/// Decides what a crash keeps. Asked in a fixed order, so that a seed says everything.
class CrashChoice {
 public:
  /// `first` and `end`: the moments of the oldest change that is not synced, and of now.
  CrashChoice(const CrashKeeps& keeps, std::uint64_t first, std::uint64_t end);
  bool keep_name(std::uint64_t moment);
  bool keep_write(std::uint64_t moment);  ///< and sizes
  bool keep_sector() { return part_ != CrashKeeps::Part::kSectors && !any() ? true : draw(); }

 private:
  bool any() const { return part_ == CrashKeeps::Part::kRandom; }
  bool draw() { return dice_.below(4) < kept_of_four_; }

  const CrashKeeps::Part part_;
  Dice dice_;
  std::uint64_t kept_of_four_;
  std::uint64_t later_than_;
};

class PagedBytes {
 public:
  static constexpr std::uint64_t kPageBytes = 4096;

  std::uint64_t size() const { return size_; }
  std::size_t read(std::uint64_t position, char* to, std::size_t size) const;
  void write(std::uint64_t position, std::string_view bytes);
  void write_zeroes(std::uint64_t position, std::uint64_t bytes);
  void resize(std::uint64_t bytes);
  /// Behind the last byte that is not 0.
  std::uint64_t data_end() const;
  /// Takes over size, and the pages that hold [position, position + bytes).
  void share(const PagedBytes& from, std::uint64_t position, std::uint64_t bytes);

 private:
  using Page = std::array<char, kPageBytes>;
  Page& page_for_writing(std::uint64_t index);

  std::uint64_t size_ = 0;
  std::vector<std::shared_ptr<Page>> pages_{};  ///< null: zeroes
};

class MemoryInode {
 public:
  MemoryInode() = default;
  explicit MemoryInode(PagedBytes durable) : now_(durable), durable_(std::move(durable)) {}

  const PagedBytes& now() const { return now_; }
  std::uint64_t size() const { return now_.size(); }
  bool is_synced() const { return pending_.empty(); }
  std::uint64_t first_moment() const { return pending_.front().moment; }  ///< of what is not synced

  // Each change happens at a moment of its file system.
  void write(std::uint64_t moment, std::uint64_t position, std::string bytes);
  void write_zeroes(std::uint64_t moment, std::uint64_t position, std::uint64_t bytes);
  void resize(std::uint64_t moment, std::uint64_t bytes);

  void sync();
  /// A sync that failed: what was not synced stays readable, and the disk will never have it.
  void lose_unsynced();
  void drop_cache();
  PagedBytes after_crash(CrashChoice& choice) const;
  /// On disk and in the cache.
  void damage(std::uint64_t position, std::string_view bytes);
  void cut(std::uint64_t bytes);

 private:
  struct Change {
    enum class Kind : std::uint8_t { kBytes, kZeroes, kSize } kind;
    std::uint64_t moment = 0;
    std::uint64_t position = 0;  ///< kSize: the new size
    std::uint64_t size = 0;
    std::string bytes{};
    void apply(PagedBytes& to, std::uint64_t from, std::uint64_t count) const;
    void apply(PagedBytes& to) const { apply(to, 0, size); }
  };
  void change(Change change);

  PagedBytes now_{};
  PagedBytes durable_{};
  std::vector<Change> pending_{};
  bool cache_lies_ = false;  ///< now_ holds bytes that neither durable_ nor pending_ has
};

}  // namespace tally::testing
