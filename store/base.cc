#include "store/base.h"

#include <algorithm>
#include <array>
#include <limits>

#include "protocol/base/bytes.h"
#include "protocol/base/check.h"
#include "protocol/base/fail_point.h"
#include "store/base_format.h"
#include "store/segment.h"

namespace tally::store {
namespace {

/// A base is synced whenever so much was written: one big sync would make the log's wait.
constexpr std::uint64_t kSyncBytes = 4u << 20;
constexpr std::uint64_t kReadBackBytes = 1u << 20;

std::string base_path(const std::string& directory, Lsn position) {
  return directory + "/" + lsn_name(position, kBaseSuffix);
}

Result<std::string> read_exactly(const File& file, const std::string& path, std::uint64_t position,
                                 std::size_t size) {
  std::string bytes(size, '\0');
  TALLY_TRY(const std::size_t got, file.read(position, bytes.data(), size));
  if (got < size) return Error(ErrorCode::kDataDamaged, path + ": is cut short");
  return bytes;
}

}  // namespace

// --- reading ---

struct BaseReader::State {
  State(std::unique_ptr<File> opened, std::string name, const BaseInfo& said)
      : file(std::move(opened)), path(std::move(name)), info(said), block(said.position.next) {}

  Error damaged(std::string_view what) const {
    return Error(ErrorCode::kDataDamaged,
                 path + ": position " + std::to_string(at) + ": " + std::string(what));
  }
  Result<bool> load_block();
  Result<void> show_rows(const RowVisitor& visit);

  std::unique_ptr<File> file;
  std::string path;
  BaseInfo info;
  BaseTrailer trailer{};
  BaseBlock block;
  std::string last_key{};
  std::uint64_t at = kBaseHeaderBytes;
  std::uint64_t blocks = 0;
  std::uint64_t rows = 0;
};

BaseReader::BaseReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
BaseReader::~BaseReader() = default;
BaseReader::BaseReader(BaseReader&&) noexcept = default;
BaseReader& BaseReader::operator=(BaseReader&&) noexcept = default;
const BaseInfo& BaseReader::info() const { return state_->info; }

Result<BaseReader> BaseReader::open(FileSystem& files, const std::string& directory, Lsn position) {
  std::string path = base_path(directory, position);
  TALLY_TRY(auto file, files.open(path, FileSystem::Mode::kRead));
  TALLY_TRY(BaseReader reader, open(std::move(file), path));
  if (reader.info().position.next != position) {
    return Error(ErrorCode::kDataDamaged, path + ": is the base of LSN " +
                                              std::to_string(reader.info().position.next.value) +
                                              ", which is not its name");
  }
  return reader;
}

Result<BaseReader> BaseReader::open(std::unique_ptr<File> file, std::string path) {
  TALLY_TRY(const std::uint64_t size, file->size());
  TALLY_TRY(const std::string header, read_exactly(*file, path, 0, kBaseHeaderBytes));
  TALLY_TRY(BaseInfo info, decode_base_header(header, path));
  const std::uint64_t end = std::max(size, kBaseHeaderBytes + kBaseTrailerBytes);
  TALLY_TRY(const std::string raw,
            read_exactly(*file, path, end - kBaseTrailerBytes, kBaseTrailerBytes));
  TALLY_TRY(const BaseTrailer trailer, decode_base_trailer(raw, info.position.next, path));
  if (trailer.file_bytes != size) {
    return Error(ErrorCode::kDataDamaged, path + ": has not the length it had");
  }
  info.oldest_needed = trailer.oldest_needed;
  auto state = std::make_unique<State>(std::move(file), std::move(path), info);
  state->trailer = trailer;
  return BaseReader(std::move(state));
}

/// False: the trailer stands here, and speaks of what was read.
Result<bool> BaseReader::State::load_block() {
  const std::uint64_t end = trailer.file_bytes - kBaseTrailerBytes;
  if (at == end) {
    if (blocks != trailer.blocks || rows != trailer.rows) return damaged("blocks are missing");
    return false;
  }
  if (end - at < kBaseBlockHeadBytes) return damaged("no block stands there");
  TALLY_TRY(const std::string head, read_exactly(*file, path, at, kBaseBlockHeadBytes));
  // Before the rows are allocated: a damaged head may name any length.
  if (load_le<std::uint32_t>(head.data() + 4) > end - at - kBaseBlockHeadBytes ||
      !block.load_head(head, blocks)) {
    return damaged("block " + std::to_string(blocks) + " does not stand there");
  }
  TALLY_TRY(const std::size_t got,
            file->read(at + kBaseBlockHeadBytes, block.row_buffer(), block.rows_bytes()));
  if (got < block.rows_bytes() || !block.matches()) {
    return damaged("block " + std::to_string(blocks) + " does not match its checksum");
  }
  return true;
}

Result<void> BaseReader::State::show_rows(const RowVisitor& visit) {
  ByteReader in(block.row_bytes());
  bool wanted = true;
  for (std::uint32_t left = block.rows(); left > 0; --left) {
    const auto key_bytes = in.get<std::uint16_t>();
    const auto value_bytes = in.get<std::uint32_t>();
    const std::string_view key = in.get_bytes(key_bytes);
    const std::string_view value = in.get_bytes(value_bytes);
    if (!in.ok() || key <= last_key) return damaged("its rows do not make sense");
    last_key.assign(key);
    wanted = wanted && visit(key, value);
  }
  if (!in.done()) return damaged("its rows do not make sense");
  return {};
}

Result<bool> BaseReader::next_block(const RowVisitor& visit) {
  State& state = *state_;
  TALLY_TRY(const bool loaded, state.load_block());
  if (!loaded) return false;
  TALLY_TRY_VOID(state.show_rows(visit));
  state.at += kBaseBlockHeadBytes + state.block.rows_bytes();
  ++state.blocks;
  state.rows += state.block.rows();
  return true;
}

// --- writing ---

struct BaseWriter::State {
  enum class Stage : std::uint8_t { kUnnamed, kNamed, kPublished };

  State(FileSystem& file_system, std::string folder, ShardId of, const ReplayFrom& at)
      : files(file_system), directory(std::move(folder)), info{.shard = of, .position = at} {}
  ~State() {
    if (stage == Stage::kPublished) return;
    // Nothing can be done about a failure, and begin() removes what is left.
    static_cast<void>(files.remove(stage == Stage::kNamed ? path() : next_path()));
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  std::string path() const { return base_path(directory, info.position.next); }
  std::string next_path() const { return directory + "/" + std::string(kNextBaseName); }
  Result<void> append(std::span<const iovec> pieces);
  Result<void> write_block();

  FileSystem& files;
  const std::string directory;
  BaseInfo info;
  Stage stage = Stage::kUnnamed;
  std::unique_ptr<File> file{};
  BaseBlock block{info.position.next};
  BaseTrailer written{};
  std::uint64_t not_synced = 0;
  std::string last_key{};
  std::optional<BaseReader> reader{};  ///< reads it back
};

BaseWriter::BaseWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
BaseWriter::~BaseWriter() = default;
BaseWriter::BaseWriter(BaseWriter&&) noexcept = default;
BaseWriter& BaseWriter::operator=(BaseWriter&&) noexcept = default;
std::uint64_t BaseWriter::bytes() const { return state_->written.file_bytes; }

Result<BaseWriter> BaseWriter::begin(FileSystem& files, const std::string& directory, ShardId shard,
                                     const ReplayFrom& position) {
  TALLY_TRY_VOID(files.make_directories(directory));
  const std::string next = directory + "/" + std::string(kNextBaseName);
  TALLY_TRY(const bool left_over, files.exists(next));
  if (left_over) TALLY_TRY_VOID(files.remove(next));
  TALLY_TRY(auto file, files.open(next, FileSystem::Mode::kCreate));
  auto state = std::make_unique<State>(files, directory, shard, position);
  state->file = std::move(file);
  std::string header = encode_base_header(shard, position);
  const iovec piece{header.data(), header.size()};
  TALLY_TRY_VOID(state->append({&piece, 1}));
  return BaseWriter(std::move(state));
}

Result<void> BaseWriter::State::append(std::span<const iovec> pieces) {
  TALLY_TRY_VOID(file->write(written.file_bytes, pieces));
  for (const iovec& piece : pieces) {
    written.file_bytes += piece.iov_len;
    not_synced += piece.iov_len;
  }
  if (not_synced < kSyncBytes) return {};
  not_synced = 0;
  return file->sync();
}

Result<void> BaseWriter::State::write_block() {
  const std::string_view head = block.seal(written.blocks);
  const std::string_view rows = block.row_bytes();
  const std::array pieces = {iovec{const_cast<char*>(head.data()), head.size()},
                             iovec{const_cast<char*>(rows.data()), rows.size()}};
  TALLY_TRY_VOID(append(pieces));
  ++written.blocks;
  written.rows += block.rows();
  block.clear();
  return {};
}

Result<void> BaseWriter::add(std::string_view key, std::string_view value) {
  State& state = *state_;
  TALLY_CHECK(key > state.last_key && key.size() <= std::numeric_limits<std::uint16_t>::max());
  state.last_key.assign(key);
  state.block.add(key, value);
  return state.block.rows_bytes() < kBaseBlockRowsBytes ? Result<void>() : state.write_block();
}

Result<void> BaseWriter::seal(Lsn oldest_needed) {
  State& state = *state_;
  TALLY_CHECK(oldest_needed <= state.info.position.next);
  if (state.block.rows() > 0) TALLY_TRY_VOID(state.write_block());
  state.info.oldest_needed = state.written.oldest_needed = oldest_needed;
  BaseTrailer trailer = state.written;
  trailer.file_bytes += kBaseTrailerBytes;
  std::string raw = encode(trailer, state.info.position.next);
  const iovec piece{raw.data(), raw.size()};
  TALLY_TRY_VOID(state.append({&piece, 1}));
  TALLY_FAIL_POINT("base.before_sync");
  TALLY_TRY_VOID(state.file->sync());
  TALLY_FAIL_POINT("base.after_sync");
  return state.file->drop_cache();
}

Result<bool> BaseWriter::read_back() {
  State& state = *state_;
  const auto read = [&]() -> Result<bool> {
    if (!state.reader) {
      TALLY_TRY(state.reader, BaseReader::open(std::move(state.file), state.next_path()));
    }
    const auto all = [](std::string_view, std::string_view) { return true; };
    for (std::uint64_t left = kReadBackBytes / kBaseBlockRowsBytes; left > 0; --left) {
      TALLY_TRY(const bool more, state.reader->next_block(all));
      if (!more) return false;
    }
    return true;
  };
  auto more = read();
  // A disk that does not have what it synced has failed.
  if (!more) return Error(ErrorCode::kIo, "read back " + more.error().message);
  return more;
}

Result<BaseInfo> BaseWriter::publish() {
  State& state = *state_;
  TALLY_CHECK(state.reader.has_value());
  TALLY_TRY_VOID(state.files.rename(state.next_path(), state.path()));
  state.stage = State::Stage::kNamed;
  TALLY_FAIL_POINT("base.after_rename");
  TALLY_TRY_VOID(state.files.sync_directory(state.directory));
  state.stage = State::Stage::kPublished;
  return state.info;
}

Result<BaseInfo> BaseWriter::finish(Lsn oldest_needed) {
  TALLY_TRY_VOID(seal(oldest_needed));
  for (bool more = true; more;) {
    TALLY_TRY(more, read_back());
  }
  return publish();
}

// --- the directory ---

Result<std::vector<Lsn>> list_base_positions(FileSystem& files, const std::string& directory) {
  std::vector<Lsn> positions;
  TALLY_TRY(const bool there, files.exists(directory));
  if (!there) return positions;
  TALLY_TRY(const std::vector<std::string> names, files.list(directory));
  for (const std::string& name : names) {
    if (const auto position = parse_lsn_name(name, kBaseSuffix)) {
      positions.push_back(*position);
    } else if (name != kNextBaseName) {
      return Error(ErrorCode::kDataFormat, directory + ": " + name + " is no base");
    }
  }
  return positions;  // names of equal length are listed in the order of their numbers
}

Result<std::vector<BaseInfo>> list_bases(FileSystem& files, const std::string& directory) {
  std::vector<BaseInfo> bases;
  TALLY_TRY(const std::vector<Lsn> positions, list_base_positions(files, directory));
  for (const Lsn position : positions) {
    TALLY_TRY(const BaseReader reader, BaseReader::open(files, directory, position));
    bases.push_back(reader.info());
  }
  return bases;
}

Result<void> read_base(FileSystem& files, const std::string& directory, Lsn position,
                       const RowVisitor& visit) {
  TALLY_TRY(BaseReader reader, BaseReader::open(files, directory, position));
  bool wanted = true;
  const auto show = [&](std::string_view key, std::string_view value) {
    wanted = visit(key, value);
    return wanted;
  };
  while (wanted) {
    TALLY_TRY(const bool more, reader.next_block(show));
    if (!more) break;
  }
  return {};
}

Result<void> remove_base(FileSystem& files, const std::string& directory, Lsn position) {
  TALLY_TRY_VOID(files.remove(base_path(directory, position)));
  return files.sync_directory(directory);
}

}  // namespace tally::store
