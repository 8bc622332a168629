// tallyd as a program: its one line on standard output, its log, its exit codes.

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <sstream>

#include "tests/server/server_fixture.h"
#include "tests/support/memory_file_system.h"
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

/// A broker that tells its address, serves until it is told something, then has a dead disk.
int serve_until_the_disk_dies(const std::string& data, int told, int tell) {
  broker::Settings settings;
  settings.listen = "127.0.0.1:0";
  settings.data_dir = data;
  settings.segment_bytes = limits::kSegmentBytesMin;
  MemoryFileSystem files;
  auto server = broker::Server::start(settings, {}, files);
  if (!server) return 99;
  const std::string& address = (*server)->address();
  char byte = 0;
  if (write(tell, address.data(), address.size()) < 0 || read(told, &byte, 1) != 1) return 98;
  files.inject({.number = files.operations(), .code = ErrorCode::kIo, .for_ever = true});
  if (write(tell, &byte, 1) != 1) return 98;
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
  int to_child[2], from_child[2];
  REQUIRE(pipe(to_child) == 0);
  REQUIRE(pipe(from_child) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    _exit(serve_until_the_disk_dies(folder.file("data"), to_child[0], from_child[1]));
  }
  char address[64] = {};
  REQUIRE(read(from_child[0], address, sizeof address - 1) > 0);
  RawClient client(address);
  client.hello();
  create_topic(client, "t");
  client.get<SendResponse>(send_to("t"), block_of("durable"));
  char byte = 'x';
  REQUIRE(write(to_child[1], &byte, 1) == 1);
  REQUIRE(read(from_child[0], &byte, 1) == 1);
  for (int i = 0; i < 10; ++i) client.send(send_to("t"), block_of("lost"));
  CHECK_FALSE(client.receive());
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 4);
  for (int end : {to_child[0], to_child[1], from_child[0], from_child[1]}) close(end);
}

}  // namespace tally::testing
