// tallyd as a program: its one line on standard output, its log, its exit codes.

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <sstream>

#include "tests/server/server_fixture.h"
#include "tools/process/child_process.h"

namespace tally::testing {
namespace {

std::string read_file(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class Tallyd {
 public:
  Tallyd(const TemporaryFolder& folder, const std::vector<std::string>& flags)
      : errors_(folder.file("errors.txt")),
        process_(ChildProcess::start(program_folder() + "/tallyd", flags, errors_).value()) {}
  /// Waits until it serves.
  std::string address() {
    const std::string line = process_.read_line().value_or("");
    const std::string start = "tallyd ready on ";
    REQUIRE(line.substr(0, start.size()) == start);
    return line.substr(start.size());
  }
  std::string errors() const { return read_file(errors_); }
  ChildProcess& process() { return process_; }

 private:
  std::string errors_;
  ChildProcess process_;
};

std::vector<std::string> flags_for(const TemporaryFolder& folder) {
  return {"--data-dir",  folder.file("data"), "--listen",
          "127.0.0.1:0", "--segment-bytes",   "1048576"};
}

/// The real files, until `broken` exists: then every sync fails.
class BreakableFiles : public store::FileSystem {
 public:
  explicit BreakableFiles(std::string broken) : broken_(std::move(broken)) {}

  class BreakableFile : public store::File {
   public:
    BreakableFile(std::unique_ptr<store::File> file, const std::string& broken)
        : file_(std::move(file)), broken_(broken) {}
    Result<void> write(std::uint64_t position, std::span<const iovec> pieces) override {
      return file_->write(position, pieces);
    }
    Result<void> write_zeroes(std::uint64_t position, std::uint64_t bytes) override {
      return file_->write_zeroes(position, bytes);
    }
    Result<std::size_t> read(std::uint64_t position, char* to, std::size_t size) const override {
      return file_->read(position, to, size);
    }
    Result<std::optional<std::size_t>> read_cached(std::uint64_t position, char* to,
                                                   std::size_t size) const override {
      return file_->read_cached(position, to, size);
    }
    Result<void> sync() override {
      if (access(broken_.c_str(), F_OK) == 0) return Error{ErrorCode::kIo, "fdatasync: injected"};
      return file_->sync();
    }
    Result<void> allocate(std::uint64_t bytes) override { return file_->allocate(bytes); }
    Result<std::uint64_t> size() const override { return file_->size(); }
    Result<void> drop_cache() override { return file_->drop_cache(); }

   private:
    std::unique_ptr<store::File> file_;
    const std::string& broken_;
  };

  Result<std::unique_ptr<store::File>> open(const std::string& path, Mode mode) override {
    TALLY_TRY(auto file, real_.open(path, mode));
    return std::unique_ptr<store::File>(std::make_unique<BreakableFile>(std::move(file), broken_));
  }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    return real_.list(directory);
  }
  Result<bool> exists(const std::string& path) override { return real_.exists(path); }
  Result<void> make_directories(const std::string& path) override {
    return real_.make_directories(path);
  }
  Result<void> rename(const std::string& from, const std::string& to) override {
    return real_.rename(from, to);
  }
  Result<void> remove(const std::string& path) override { return real_.remove(path); }
  Result<void> sync_directory(const std::string& path) override {
    return real_.sync_directory(path);
  }
  Result<std::unique_ptr<store::File>> lock(const std::string& path) override {
    return real_.lock(path);
  }

 private:
  const std::string broken_;
  store::FileSystem& real_ = store::real_file_system();
};

/// A broker whose files break when `broken` exists; writes its address to `out`.
int serve_until_killed(const std::string& data, const std::string& broken, int out) {
  broker::Settings settings;
  settings.listen = "127.0.0.1:0";
  settings.data_dir = data;
  settings.segment_bytes = limits::kSegmentBytesMin;
  BreakableFiles files(broken);
  auto server = broker::Server::start(settings, {}, files);
  if (!server) return 99;
  const std::string& address = (*server)->address();
  if (write(out, address.data(), address.size()) < 0) return 98;
  pause();
  return 97;
}

}  // namespace

TEST_CASE("tallyd says where it serves, stops on a signal with 0, and replays nothing afterwards") {
  for (const int signal : {SIGTERM, SIGINT}) {
    TemporaryFolder folder;
    {
      Tallyd tallyd(folder, flags_for(folder));
      RawClient client(tallyd.address());
      client.hello();
      create_topic(client, "t");
      for (int i = 0; i < 100; ++i) client.get<SendResponse>(send_to("t"), block_of("x"));
      tallyd.process().signal(signal);
      CHECK(tallyd.process().wait() == 0);
      CHECK(tallyd.errors().find("replayed 0 entries from LSN 0 (rebuild: ") != std::string::npos);
    }
    Tallyd again(folder, flags_for(folder));
    RawClient client(again.address());
    client.hello();
    CHECK(client.get<ReceiveResponse>(receive_from("t")).deliveries.size() == 100);
    CHECK(again.errors().find("replayed 0 entries from LSN ") != std::string::npos);
    CHECK(again.errors().find("(checkpoint)") != std::string::npos);
  }
}

TEST_CASE("what was acknowledged before SIGKILL is there after it") {
  TemporaryFolder folder;
  {
    Tallyd tallyd(folder, flags_for(folder));
    RawClient client(tallyd.address());
    client.hello();
    create_topic(client, "t");
    for (int i = 0; i < 50; ++i) client.get<SendResponse>(send_to("t"), block_of("x"));
    tallyd.process().signal(SIGKILL);
    CHECK(tallyd.process().wait() == -SIGKILL);
  }
  Tallyd again(folder, flags_for(folder));
  RawClient client(again.address());
  client.hello();
  CHECK(client.get<ReceiveResponse>(receive_from("t")).deliveries.size() == 50);
}

TEST_CASE("tallyd exits with 2 for bad arguments and an address in use") {
  TemporaryFolder folder;
  Tallyd wrong(folder, {"--no-such-flag"});
  CHECK(wrong.process().wait() == 2);
  CHECK(wrong.errors().find("INVALID_ARGUMENT: ") == 0);

  TestBroker broker;
  TemporaryFolder other;
  Tallyd second(other, {"--data-dir", other.file("data"), "--listen", broker.address()});
  CHECK(second.process().wait() == 2);
  CHECK(second.errors().find("ADDRESS_IN_USE: ") != std::string::npos);
}

TEST_CASE("tallyd exits with 3 for a data directory in use") {
  TestBroker broker;
  TemporaryFolder folder;
  Tallyd second(folder, {"--data-dir", broker.folder.path(), "--listen", "127.0.0.1:0"});
  CHECK(second.process().wait() == 3);
  CHECK(second.errors().find("DATA_LOCKED: ") != std::string::npos);
}

TEST_CASE("tallyd prints its configuration, version and help and exits with 0") {
  TemporaryFolder folder;
  Tallyd config(folder, {"--print-config"});
  CHECK(config.process().read_line() == "[server]");
  Tallyd version(folder, {"--version"});
  CHECK(version.process().read_line().value_or("").find("tallyd ") == 0);
  CHECK(version.process().wait() == 0);
}

TEST_CASE("a sync that fails ends the broker with 4 and nothing is acknowledged after it") {
  TemporaryFolder folder;
  const std::string broken = folder.file("broken");
  int out[2];
  REQUIRE(pipe(out) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(serve_until_killed(folder.file("data"), broken, out[1]));
  char address[64] = {};
  REQUIRE(read(out[0], address, sizeof address - 1) > 0);
  RawClient client(address);
  client.hello();
  create_topic(client, "t");
  client.get<SendResponse>(send_to("t"), block_of("durable"));
  std::ofstream(broken) << "now";
  for (int i = 0; i < 10; ++i) client.send(send_to("t"), block_of("lost"));
  CHECK_FALSE(client.receive());
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 4);
  close(out[0]), close(out[1]);
}

}  // namespace tally::testing
